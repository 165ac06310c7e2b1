"""exp and log in plain arithmetic, which LLVM vectorises where a call of the C library would not be.

Range reduction and polynomial, as in any libm (Muller et al., *Handbook of Floating-Point
Arithmetic*, 2nd ed., ch. 10). Compiled in order: a reordering would undo the two-part constants.
"""

from __future__ import annotations

import numpy as np

from fastem.passes.flags import exact_function

_F = np.float32

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has 21 trailing zero bits, so that n * _LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LN2 = 0.6931471805599453
# Adding 1.5 * 2^52 rounds to the nearest integer and leaves it in the low bits: no conversion from
# float64 to int64, which AVX2 lacks. The integer comes with the bias of an exponent, 1023.
_ROUNDER = 6755399441055744.0 + 1023.0
_EXP_UNDERFLOW = -708.0
_MANTISSA_MASK = 0x000FFFFFFFFFFFFF
_HALF_BITS = 0x3FE0000000000000
_SQRT_HALF = 0.7071067811865476
_MIN_NORMAL = 2.2250738585072014e-308
# The same in float32: 1.5 * 2^23 rounds; the first part of ln 2 has 15 trailing zero bits.
_LOG2_E_FLOAT32 = _F(_LOG2_E)
_LN2_HIGH_FLOAT32 = _F(0.693359375)
_LN2_LOW_FLOAT32 = _F(-2.12194440e-4)
_ROUNDER_FLOAT32 = _F(12582912.0 + 127.0)
_EXP_UNDERFLOW_FLOAT32 = _F(-87.0)
_ZERO, _ONE = _F(0.0), _F(1.0)
_P0, _P1, _P2 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
_P3, _P4, _P5 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)


@exact_function
def exp_nonpositive(x):
    """exp(x) for x <= 0, to 7e-16 + 3.4e-17 |x| relative; exp(0) is 1; exactly 0 below -708.

    An x of that size that is a difference of rounded logarithms carries a larger error itself. NaN
    gives NaN.
    """
    shifted = x * _LOG2_E + _ROUNDER
    reduced = x - (shifted - _ROUNDER) * _LN2
    # Chebyshev interpolation of (e^r - 1) / r on |r| <= ln 2 / 2: relative error of e^r 6e-16.
    p = 2.7620075879983367e-07
    p = p * reduced + 2.7632640675430236e-06
    p = p * reduced + 2.4801521322368692e-05
    p = p * reduced + 0.0001984119064754424
    p = p * reduced + 0.0013888888917196719
    p = p * reduced + 0.008333333367311603
    p = p * reduced + 0.041666666666624164
    p = p * reduced + 0.16666666666615648
    p = p * reduced + 0.5000000000000001
    p = p * reduced + 1.0000000000000013
    p = p * reduced + 1.0
    power = np.int64(np.float64(shifted).view(np.int64) << 52).view(np.float64)
    return 0.0 if x < _EXP_UNDERFLOW else p * power


@exact_function
def exp_nonpositive_float32(x):
    """exp(x) for float32 x <= 1e-6, to 1.2e-7 relative; exp(0) is 1; exactly 0 below -87.

    The polynomial is that of Cephes' `expf` (Moshier, 1992).
    """
    shifted = x * _LOG2_E_FLOAT32 + _ROUNDER_FLOAT32
    n = shifted - _ROUNDER_FLOAT32
    reduced = (x - n * _LN2_HIGH_FLOAT32) - n * _LN2_LOW_FLOAT32
    p = _P0 * reduced + _P1
    p = p * reduced + _P2
    p = p * reduced + _P3
    p = p * reduced + _P4
    p = p * reduced + _P5
    p = p * (reduced * reduced) + (reduced + _ONE)
    power = np.int32(np.float32(shifted).view(np.int32) << 23).view(np.float32)
    return _ZERO if x < _EXP_UNDERFLOW_FLOAT32 else p * power


@exact_function
def log_positive(x):
    """log(x) for normal x > 0, within 1 ulp; minus infinity for 0 and subnormals; +inf and NaN keep.

    The series and its coefficients are those of FreeBSD's `e_log.c` (Sun Microsystems, 1993).
    """
    bits = np.float64(x).view(np.int64)
    exponent = np.int32(bits >> 52) - 1022
    mantissa = np.int64((bits & _MANTISSA_MASK) | _HALF_BITS).view(np.float64)
    small = mantissa < _SQRT_HALF
    mantissa = mantissa + mantissa if small else mantissa
    n = np.float64(exponent - 1 if small else exponent)
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.479819860511658591e-01
    r = r * z + 1.531383769920937332e-01
    r = r * z + 1.818357216161805012e-01
    r = r * z + 2.222219843214978396e-01
    r = r * z + 2.857142874366239149e-01
    r = r * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    r = r * z
    half_square = 0.5 * f * f
    value = n * _LN2_HIGH - ((half_square - (s * (half_square + r) + n * _LN2_LOW)) - f)
    below = -np.inf if x >= 0.0 else np.nan
    return (value if x < np.inf else x) if x >= _MIN_NORMAL else below


@exact_function
def log1p_nonnegative(x):
    """log(1 + x) for x >= 0, within 2 ulp; +inf and NaN keep."""
    w = 1.0 + x
    # What the rounding of w took from x. Of an x this large nothing is lost.
    lost = (x - (w - 1.0)) / w
    return log_positive(w) + (lost if x < 1e16 else 0.0)
