"""SIMD operations on eight float32 values at a time, for numba kernels.

Without them, the compiler does not vectorize a loop if it cannot prove that its arrays do not
overlap. A processor with narrower registers runs each operation as several instructions. If this
file changes, put its new checksum into the files that import it; see `SIMD_CHECKSUM` there.
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
# Lets a product and a sum become one fused instruction if the processor has it.
_CONTRACT = ("contract",)


class _VectorType(types.Type):
    """The numba type of eight float32 values."""

    def __init__(self):
        super().__init__(f"float32 x {LANES}")


class _MaskType(types.Type):
    """The numba type of eight booleans, which select lanes."""

    def __init__(self):
        super().__init__(f"bool x {LANES}")


_vector = _VectorType()
_mask = _MaskType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _FLOATS)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _BITS)


def _constant(value):
    return ir.Constant(_FLOATS, [value] * LANES)


def _pointer(context, builder, signature, arguments):
    """Address of element `arguments[1]` of the array `arguments[0]`, as a pointer to a vector."""
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

    return _vector(array, types.intp), generate


@intrinsic
def store(_typing, array, index, value):
    """Write the values to elements index to index + 7 of a float32 array."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        builder.store(arguments[2], pointer).align = 4
        return context.get_dummy_value()

    return types.none(array, types.intp, _vector), generate


@intrinsic
def load_some(_typing, array, index, mask):
    """As `load`, but reads only the elements that the mask selects; the others are 0."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        kind = ir.FunctionType(_FLOATS, [pointer.type, ir.IntType(32), _BITS, _FLOATS])
        read = builder.module.declare_intrinsic(f"llvm.masked.load.v{LANES}f32.p0", (), kind)
        return builder.call(read, [pointer, _ALIGNMENT, arguments[2], _constant(0.0)])

    return _vector(array, types.intp, _mask), generate


@intrinsic
def store_some(_typing, array, index, value, mask):
    """As `store`, but writes only the elements that the mask selects."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        kind = ir.FunctionType(ir.VoidType(), [_FLOATS, pointer.type, ir.IntType(32), _BITS])
        write = builder.module.declare_intrinsic(f"llvm.masked.store.v{LANES}f32.p0", (), kind)
        builder.call(write, [arguments[2], pointer, _ALIGNMENT, arguments[3]])
        return context.get_dummy_value()

    return types.none(array, types.intp, _vector, _mask), generate


@intrinsic
def first_lanes(_typing, count):
    """A mask that selects the first `count` lanes, 0 to 8."""

    def generate(context, builder, signature, arguments):
        limit = _broadcast(builder, builder.trunc(arguments[0], ir.IntType(32)), _INTS)
        return builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), limit)

    return _mask(types.intp), generate


def _broadcast(builder, value, vector):
    """The value in every lane of a vector type."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def fill(_typing, value):
    """One float32 value in all eight lanes."""

    def generate(context, builder, signature, arguments):
        return _broadcast(builder, arguments[0], _FLOATS)

    return _vector(types.float32), generate


@intrinsic
def add(_typing, x, y):
    """x + y."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return _vector(_vector, _vector), generate


@intrinsic
def subtract(_typing, x, y):
    """x - y."""

    def generate(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return _vector(_vector, _vector), generate


@intrinsic
def less(_typing, x, y):
    """1 where x < y, otherwise 0."""

    def generate(context, builder, signature, arguments):
        below = builder.fcmp_ordered("<", *arguments)
        return builder.select(below, _constant(1.0), _constant(0.0))

    return _vector(_vector, _vector), generate


@intrinsic
def where_equal(_typing, x, y, value):
    """The value where x = y, otherwise 0."""

    def generate(context, builder, signature, arguments):
        are_equal = builder.fcmp_ordered("==", arguments[0], arguments[1])
        return builder.select(are_equal, arguments[2], _constant(0.0))

    return _vector(_vector, _vector, _vector), generate


@intrinsic
def round_to_even(_typing, x):
    """The nearest integers as float32; halves to the nearest even."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_FLOATS, [_FLOATS])
        nearest = builder.module.declare_intrinsic(f"llvm.rint.v{LANES}f32", (), kind)
        return builder.call(nearest, arguments)

    return _vector(_vector), generate


@intrinsic
def multiply(_typing, x, y):
    """x y."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return _vector(_vector, _vector), generate


def _multiply_add(builder, x, y, z):
    product = builder.fmul(x, y, flags=_CONTRACT)
    return builder.fadd(product, z, flags=_CONTRACT)


@intrinsic
def multiply_add(_typing, x, y, z):
    """x y + z."""

    def generate(context, builder, signature, arguments):
        return _multiply_add(builder, *arguments)

    return _vector(_vector, _vector, _vector), generate


def _maximum(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


@intrinsic
def maximum(_typing, x, y):
    """The greater of x and y."""

    def generate(context, builder, signature, arguments):
        return _maximum(builder, *arguments)

    return _vector(_vector, _vector), generate


def _across(combine):
    """An operation that reduces the eight values of a vector to one."""

    @intrinsic
    def reduce(_typing, x):
        def generate(context, builder, signature, arguments):
            value, distance = arguments[0], LANES // 2
            while distance:
                rotated = [(lane + distance) % LANES for lane in range(LANES)]
                other = builder.shuffle_vector(value, value, ir.Constant(_INTS, rotated))
                value = combine(builder, value, other)
                distance //= 2
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return types.float32(_vector), generate

    return reduce


sum_across = _across(lambda builder, x, y: builder.fadd(x, y))
maximum_across = _across(_maximum)


@intrinsic
def exp_of_nonpositive(_typing, x):
    """exp(x) for x <= 0 with a relative error below 3e-7; exp(-87) for all x below -87."""

    def generate(context, builder, signature, arguments):
        x = _maximum(builder, arguments[0], _constant(-87.0))
        # exp(x) = 2^n exp(f) with an integer n and |f| <= log(2) / 2. The conversion to integers
        # truncates towards zero, so subtracting a half first rounds values that are not positive.
        half_less = _multiply_add(builder, x, _constant(1.4426950408889634), _constant(-0.5))
        n = builder.fptosi(half_less, _INTS)
        whole = builder.sitofp(n, _FLOATS)
        # log(2) in two parts (Cody and Waite): the first has few bits, so its product with n is
        # exact.
        f = _multiply_add(builder, whole, _constant(-0.693359375), x)
        f = _multiply_add(builder, whole, _constant(2.12194440054690583e-4), f)
        # Taylor series of exp(f).
        polynomial = _constant(1 / 720)
        for divisor in (120, 24, 6, 2, 1, 1):
            polynomial = _multiply_add(builder, polynomial, f, _constant(1 / divisor))
        # 2^n: n goes into the bits of the exponent.
        exponent = builder.add(n, ir.Constant(_INTS, [127] * LANES))
        power = builder.shl(exponent, ir.Constant(_INTS, [23] * LANES))
        return builder.fmul(polynomial, builder.bitcast(power, _FLOATS))

    return _vector(_vector), generate
