"""An interpreter of PTX: compiled kernels run on a CPU, watched for races, or only counted."""
