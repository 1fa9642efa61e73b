"""Search spaces by name. A new one is a file in this folder and a row here."""

from supernet.spaces import convnet, darts, nasbench201, recurrent, textnet
from supernet.spaces.space import Row

SPACES: dict[str, Row] = {
    "darts": darts.ROW,
    "nasbench201": nasbench201.ROW,
    "convnet": convnet.ROW,
    "textnet": textnet.ROW,
    "recurrent": recurrent.ROW,
}
