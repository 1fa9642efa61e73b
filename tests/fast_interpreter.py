"""Triton's interpreter without the work that it repeats: a plugin of the processes that ``tests.interpreter`` starts.

Most of its time goes into looking at every integer for overflow, into a table of types that it makes anew for each
operation, and into wrapping the whole language for each function that a kernel calls, though it is wrapped already.
"""

from dataclasses import replace

from triton.runtime import interpreter


def pytest_configure():
    builder = interpreter.interpreter_builder
    builder.options = replace(builder.options, sanitize_overflow=False)
    types, wrapped = {}, set()
    make_type = interpreter._get_np_dtype

    def type_of(given):
        name = given.scalar.name
        if name not in types:
            types[name] = make_type(given)
        return types[name]

    def call(function, *arguments, **options):
        if function.fn not in wrapped:
            interpreter._patch_lang(function.fn)
            wrapped.add(function.fn)
        return function.rewrite()(*arguments, **options)

    interpreter._get_np_dtype = type_of
    interpreter.InterpretedFunction.__call__ = call
