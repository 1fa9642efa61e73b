"""The search spaces by name. A new one is a file in this folder and a row here; see this folder's ``README.md``."""

from supernet.spaces import nasbench101, nasbench201, recurrent
from supernet.spaces.darts import space as darts
from supernet.spaces.examples import convnet, textnet
from supernet.spaces.mobile import inverted, mobilenet, nasbenchmacro
from supernet.spaces.space import SpaceEntry
from supernet.spaces.transformer import translation, vision

SPACES: dict[str, SpaceEntry] = {
    "darts": darts.ENTRY,
    "nasbench201": nasbench201.ENTRY,
    "nasbench101": nasbench101.ENTRY,
    "nasbenchmacro": nasbenchmacro.ENTRY,
    "mobile": inverted.ENTRY,
    "mobilenet": mobilenet.ENTRY,
    "vit": vision.ENTRY,
    "convnet": convnet.ENTRY,
    "textnet": textnet.ENTRY,
    "recurrent": recurrent.ENTRY,
    "translation": translation.ENTRY,
}
