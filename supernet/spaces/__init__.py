"""Search spaces by name. A new one is a file in this folder and a row here."""

from supernet.spaces import nasbench201, recurrent
from supernet.spaces.darts import space as darts
from supernet.spaces.examples import convnet, textnet
from supernet.spaces.space import Row

SPACES: dict[str, Row] = {
    "darts": darts.ROW,
    "nasbench201": nasbench201.ROW,
    "convnet": convnet.ROW,
    "textnet": textnet.ROW,
    "recurrent": recurrent.ROW,
}
