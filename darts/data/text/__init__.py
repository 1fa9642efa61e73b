"""Text: labelled sentences, and running text for language modelling."""
