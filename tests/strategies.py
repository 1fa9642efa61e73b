"""Strategies of hypothesis: genotypes of any shape that validation allows, or of the shape a form can express."""

from hypothesis import strategies as st

from genotypes import CELL_INPUTS, CELL_OPS, Cell, CellGenotype, Edge


@st.composite
def cells(draw):
    drawn = []
    for index in range(draw(st.integers(1, 7))):
        sources = st.integers(0, CELL_INPUTS + index - 1)
        row = [Edge(draw(st.sampled_from(CELL_OPS)), draw(sources)) for _ in range(draw(st.integers(0, 4)))]
        drawn.append(tuple(row) if index or row else (Edge("skip_connect", 0),))
    states = range(CELL_INPUTS, CELL_INPUTS + len(drawn))
    concat = draw(st.lists(st.sampled_from(states), min_size=1, unique=True))
    cell = Cell(tuple(drawn), tuple(concat))
    return cell if cell.outputs else Cell(tuple(drawn), (CELL_INPUTS,))


@st.composite
def genotypes(draw):
    name = draw(st.none() | st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True))
    return CellGenotype(draw(cells()), draw(cells()), name)


@st.composite
def narrow_genotypes(draw, fewest=0, most=3):
    """Genotypes whose nodes have ``fewest`` to ``most`` inputs, no two from one state, in any order."""
    drawn = []
    for _ in range(2):
        rows = []
        for index in range(draw(st.integers(1, 5))):
            states = st.lists(
                st.integers(0, CELL_INPUTS + index - 1),
                min_size=min(fewest, CELL_INPUTS) if rows else max(fewest, 1),
                max_size=min(most, CELL_INPUTS + index),
                unique=True,
            )
            rows.append(tuple(Edge(draw(st.sampled_from(CELL_OPS)), state) for state in draw(states)))
        last = CELL_INPUTS + len(rows) - 1
        drawn.append(Cell(tuple(rows), tuple({CELL_INPUTS: None, last: None})))
    return CellGenotype(*drawn, draw(st.none() | st.just("drawn")))
