"""Eight float32 values in one vector register, for numba kernels.

Left to itself, the compiler gives up on vectors wherever it cannot prove that two arrays do not
overlap. These operations state the vectors outright; a processor without registers of this
width runs each as two or more instructions.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_ALIGNMENT = ir.Constant(ir.IntType(32), 4)
# Lets a product and a sum become one instruction where the processor has it.
_CONTRACT = ("contract",)


class LanesType(types.Type):
    """The numba type of eight float32 values."""

    def __init__(self):
        super().__init__(f"float32 x {LANES}")


class MaskType(types.Type):
    """The numba type of a choice among the eight."""

    def __init__(self):
        super().__init__(f"bool x {LANES}")


lanes = LanesType()
mask = MaskType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _FLOATS)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _BITS)


def _constant(value):
    return ir.Constant(_FLOATS, [value] * LANES)


def _pointer(context, builder, signature, arguments):
    """Address of element `arguments[1]` of the array `arguments[0]`, as that of a vector."""
    array = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
    element = builder.gep(array.data, [arguments[1]])
    return builder.bitcast(element, _FLOATS.as_pointer())


@intrinsic
def load(_typing, array, index):
    """Elements index to index + 7 of a contiguous one-dimensional float32 array."""

    def generate(context, builder, signature, arguments):
        value = builder.load(_pointer(context, builder, signature, arguments))
        value.align = 4
        return value

    return lanes(array, types.intp), generate


@intrinsic
def store(_typing, array, index, value):
    """Write the values to elements index to index + 7 of a float32 array."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        builder.store(arguments[2], pointer).align = 4
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), generate


@intrinsic
def load_some(_typing, array, index, chosen):
    """As `load`, but only the chosen elements are read; 0 in place of the others."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        kind = ir.FunctionType(_FLOATS, [pointer.type, ir.IntType(32), _BITS, _FLOATS])
        read = builder.module.declare_intrinsic(f"llvm.masked.load.v{LANES}f32.p0", (), kind)
        return builder.call(read, [pointer, _ALIGNMENT, arguments[2], _constant(0.0)])

    return lanes(array, types.intp, mask), generate


@intrinsic
def store_some(_typing, array, index, value, chosen):
    """As `store`, but only the chosen elements are written."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        kind = ir.FunctionType(ir.VoidType(), [_FLOATS, pointer.type, ir.IntType(32), _BITS])
        write = builder.module.declare_intrinsic(f"llvm.masked.store.v{LANES}f32.p0", (), kind)
        builder.call(write, [arguments[2], pointer, _ALIGNMENT, arguments[3]])
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes, mask), generate


@intrinsic
def first_lanes(_typing, count):
    """The choice of the first `count` lanes, 0 to 8."""

    def generate(context, builder, signature, arguments):
        limit = _spread(builder, builder.trunc(arguments[0], ir.IntType(32)), _INTS)
        return builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), limit)

    return mask(types.intp), generate


def _spread(builder, value, vector):
    """The value in every lane of a vector type."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def fill(_typing, value):
    """The same float32 value eight times."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0], _FLOATS)

    return lanes(types.float32), generate


@intrinsic
def add(_typing, x, y):
    """x + y."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return lanes(lanes, lanes), generate


@intrinsic
def multiply(_typing, x, y):
    """x y."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return lanes(lanes, lanes), generate


def _multiply_add(builder, x, y, z):
    product = builder.fmul(x, y, flags=_CONTRACT)
    return builder.fadd(product, z, flags=_CONTRACT)


@intrinsic
def multiply_add(_typing, x, y, z):
    """x y + z."""

    def generate(context, builder, signature, arguments):
        return _multiply_add(builder, *arguments)

    return lanes(lanes, lanes, lanes), generate


def _maximum(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


@intrinsic
def maximum(_typing, x, y):
    """The greater of x and y."""

    def generate(context, builder, signature, arguments):
        return _maximum(builder, *arguments)

    return lanes(lanes, lanes), generate


def _across(combine):
    """A function that combines all eight values of a vector into one."""

    @intrinsic
    def reduce(_typing, x):
        def generate(context, builder, signature, arguments):
            value, distance = arguments[0], LANES // 2
            while distance:
                turned = [(lane + distance) % LANES for lane in range(LANES)]
                other = builder.shuffle_vector(value, value, ir.Constant(_INTS, turned))
                value = combine(builder, value, other)
                distance //= 2
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return types.float32(lanes), generate

    return reduce


sum_across = _across(lambda builder, x, y: builder.fadd(x, y))
maximum_across = _across(_maximum)


@intrinsic
def exp_of_nonpositive(_typing, x):
    """The exponential of values of at most 0, to 2e-7 relative; from -87 down, exp(-87)."""

    def generate(context, builder, signature, arguments):
        x = _maximum(builder, arguments[0], _constant(-87.0))
        # exp(x) = 2^n exp(f), n whole and |f| at most log(2) / 2. The conversion cuts towards
        # zero, so that half less rounds what is not positive.
        half_less = _multiply_add(builder, x, _constant(1.4426950408889634), _constant(-0.5))
        n = builder.fptosi(half_less, _INTS)
        whole = builder.sitofp(n, _FLOATS)
        # log(2) in two parts, the first of few bits, so that its product with n is exact.
        f = _multiply_add(builder, whole, _constant(-0.693359375), x)
        f = _multiply_add(builder, whole, _constant(2.12194440054690583e-4), f)
        series = _constant(1 / 720)
        for divisor in (120, 24, 6, 2, 1, 1):
            series = _multiply_add(builder, series, f, _constant(1 / divisor))
        exponent = builder.add(n, ir.Constant(_INTS, [127] * LANES))
        power = builder.shl(exponent, ir.Constant(_INTS, [23] * LANES))
        return builder.fmul(series, builder.bitcast(power, _FLOATS))

    return lanes(lanes), generate
