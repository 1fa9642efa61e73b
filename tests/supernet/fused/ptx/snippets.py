"""Short kernels of PTX, run by the interpreter on arrays."""

import ctypes

import numpy as np

from supernet.fused.ptx.lanes import granule_of
from supernet.fused.ptx.machine import Machine
from supernet.fused.ptx.memory import GlobalMemory
from supernet.fused.ptx.program import parse

ENTRY = """
.version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 buffer[];
.visible .entry snippet({parameters})
{{
.reg .pred %p<20>;
.reg .b16 %h<40>;
.reg .b32 %r<80>;
.reg .b64 %d<40>;
mov.u32 %r0, %tid.x;
mul.wide.u32 %d0, %r0, 4;
{loads}
{body}
ret;
}}
"""


def run(body, *arrays, blocks=1, threads=32, shared=0, watch=True, granule=None):
    """Run a body on arrays, and return the machine.

    ``%r0`` is a thread's number, ``%d0`` four times as much, ``%d1``, ``%d2``, ... the arrays' addresses.
    """
    parameters = ", ".join(f".param .u64 a{number}" for number in range(len(arrays)))
    loads = "\n".join(f"ld.param.u64 %d{number + 1}, [a{number}];" for number in range(len(arrays)))
    program = parse(ENTRY.format(parameters=parameters, loads=loads, body=body))
    begins = [array.ctypes.data for array in arrays]
    ranges = [(begin, begin + array.nbytes) for begin, array in zip(begins, arrays)]
    granule = granule or granule_of(program, "global")
    memory = GlobalMemory(ranges, anywhere=False, watch=watch, granule=granule)
    given = b"".join(bytes(ctypes.c_void_p(begin)) for begin in begins)
    indices = [(x, 0, 0) for x in range(blocks)]
    machine = Machine(program, indices, (blocks, 1, 1), threads, given, memory, shared, watch=watch)
    machine.run()
    return machine


def per_lane(body, *arrays, outputs=1, threads=32, shared=0):
    """Return what a body leaves in ``%r20``, ``%r21``, ...: ``(output, thread)``, uint32.

    The arrays, of 32 bits and with a value for each thread, are in ``%r10``, ``%r11``, ...
    """
    found = np.zeros((outputs, threads), np.uint32)
    loads = [
        f"add.s64 %d30, %d{number + 1}, %d0;\nld.global.u32 %r{10 + number}, [%d30];" for number in range(len(arrays))
    ]
    stores = [
        f"add.s64 %d31, %d{len(arrays) + 1}, %d0;\nst.global.u32 [%d31+{number * threads * 4}], %r{20 + number};"
        for number in range(outputs)
    ]
    arrays = [np.ascontiguousarray(array).view(np.uint32) for array in arrays]
    run("\n".join([*loads, body, *stores]), *arrays, found, threads=threads, shared=shared)
    return found
