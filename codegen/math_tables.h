/* Minimax polynomials of the elementary functions, as fitted and explained by tools/fit_polynomials.py.
 *
 * Lowest power first; every coefficient of an _f32 table is a float.  Each "error" is the largest absolute
 * error of what the polynomial stands in for, in the units of its comment below, before any rounding at run
 * time.
 *
 *   exp    e^r = 1 + r + r^2 p(r)                       |r| <= ln2/2
 *   sinh   sinh r = r + r^3 p(r^2)                      |r| <= ln2/2
 *   cosh   cosh r = 1 + r^2/2 + r^4 p(r^2)              |r| <= ln2/2
 *   log    f32: log(1+f) = f - f^2/2 + f^3 p(f);  f64: log(1+f) = 2s + s z p(z), s = f/(2+f), z = s^2
 *   log2   log2(1+f) = s (2/ln2 + z (2/(3 ln2) + z p(z)))
 *   log2_near    log2(1+r) = r/ln2 - r^2/(2 ln2) + r^3 p(r)      |r| of the pieces of `inverses`
 *   log1p  log(1+e) = e p(e - 1/2)                      0 <= e <= 1
 *   exp2   2^r = 1 + r p(r)                             |r| <= 1/2
 *   inverses     a column a piece of the mantissa's range (fit_inverses): c, then -log2 c in two parts
 *   sin    sin r = r + r^3 p(r^2)                       |r| <= pi/4
 *   cos    cos r = 1 - r^2/2 + r^4 p(r^2)               |r| <= pi/4
 *   asin   asin x = x + x^3 p(x^2)                      |x| <= 1/2
 *   atan   atan x = x + x^3 p(x^2)                      |x| <= tan(pi/8)
 *   erf    erf x = -expm1(-x p(x))                      0 <= x <= 3.93 (f32), 5.93 (f64); p's first coefficient
 *          is the sum of the table's first two
 *   erf_pieces   erf x = the sum of column k's numbers times powers of x - k step, k the nearest to x / step;
 *          of 16 columns (step 17582/65536) or 8 (35270/65536) */
#ifndef TENON_CODEGEN_MATH_TABLES_H
#define TENON_CODEGEN_MATH_TABLES_H

/* clang-format off */
/* exp_f32: error 2^-28.1 */
static const double exp_f32[] = {0x1.000000p-1,
  0x1.555488p-3,
  0x1.5554e2p-5,
  0x1.123facp-7,
  0x1.6d53dcp-10};
/* exp_f64: error 2^-58.0 */
static const double exp_f64[] = {0x1.000000000000cp-1,
  0x1.555555555555cp-3,
  0x1.555555554fd81p-5,
  0x1.111111110e9c1p-7,
  0x1.6c16c18635009p-10,
  0x1.a01a01b46851dp-13,
  0x1.a019951ee3315p-16,
  0x1.71ddee03d3022p-19,
  0x1.28b19c7388417p-22,
  0x1.af6f5d300764cp-26};
/* sinh_f32: error 2^-34.1 */
static const double sinh_f32[] = {0x1.555556p-3,
  0x1.110fe2p-7,
  0x1.a28ee2p-13};
/* sinh_f64: error 2^-64.8 */
static const double sinh_f64[] = {0x1.5555555555555p-3,
  0x1.111111111130bp-7,
  0x1.a01a019f136cep-13,
  0x1.71de3e35d9ac4p-19,
  0x1.ae56a6da3364cp-26,
  0x1.73ada47c6639ap-33};
/* cosh_f32: error 2^-33.1 */
static const double cosh_f32[] = {0x1.5554e2p-5,
  0x1.6d53dcp-10};
/* cosh_f64: error 2^-70.0 */
static const double cosh_f64[] = {0x1.5555555555558p-5,
  0x1.6c16c16c14fedp-10,
  0x1.a01a01ad88c54p-16,
  0x1.27e4cbf185c52p-22,
  0x1.1f8c1ce5f19b9p-29};
/* log_f32: error 2^-27.2 */
static const double log_f32[] = {0x1.555552p-2,
  -0x1.000238p-2,
  0x1.99a134p-3,
  -0x1.546f24p-3,
  0x1.22c228p-3,
  -0x1.0d8980p-3,
  0x1.05f2a0p-3,
  -0x1.3a0a92p-4};
/* log_f64: error 2^-65.5 */
static const double log_f64[] = {0x1.5555555555555p-1,
  0x1.9999999999d0fp-2,
  0x1.24924924399abp-2,
  0x1.c71c724b634d6p-3,
  0x1.745ce1c0a9ce3p-3,
  0x1.3b20275c40b8ep-3,
  0x1.0f66e5dae0f19p-3,
  0x1.0f121fc51b77dp-3};
/* log2_f32: error 2^-35.1 */
static const double log2_f32[] = {0x1.277712p-1,
  0x1.a5b93ap-2,
  0x1.5a2894p-2};
/* log2_f64: error 2^-74.1 */
static const double log2_f64[] = {0x1.2776c50ef9bffp-1,
  0x1.a61762a7adc27p-2,
  0x1.484b13d7ec6bbp-2,
  0x1.0c9a8480fab4ep-2,
  0x1.c68f6664a8f4ap-3,
  0x1.89f07d00db84dp-3,
  0x1.5c0189dce6f98p-3,
  0x1.2f690b629dd64p-3,
  0x1.6442421bb1ab7p-3};
/* sin_f32: error 2^-28.0 */
static const double sin_f32[] = {-0x1.555546p-3,
  0x1.11077ep-7,
  -0x1.9956b0p-13};
/* sin_f64: error 2^-57.9 */
static const double sin_f64[] = {-0x1.5555555555548p-3,
  0x1.111111110f77cp-7,
  -0x1.a01a019bf7bcbp-13,
  0x1.71de35649b231p-19,
  -0x1.ae5e591921411p-26,
  0x1.5d8f97c9f3d4bp-33};
/* cos_f32: error 2^-33.1 */
static const double cos_f32[] = {0x1.55554ap-5,
  -0x1.6c0c2ep-10,
  0x1.99eacep-16};
/* cos_f64: error 2^-64.0 */
static const double cos_f64[] = {0x1.555555555554bp-5,
  -0x1.6c16c16c1504bp-10,
  0x1.a01a019c9773cp-16,
  -0x1.27e4f7f8e48edp-22,
  0x1.1ee9e1583270bp-29,
  -0x1.8fa99010a4496p-37};
/* asin_f32: error 2^-27.5 */
static const double asin_f32[] = {0x1.5555cap-3,
  0x1.3301a4p-4,
  0x1.7481d8p-5,
  0x1.8c1492p-6,
  0x1.597600p-5};
/* asin_f64: error 2^-55.8 */
static const double asin_f64[] = {0x1.555555555538dp-3,
  0x1.333333336e690p-4,
  0x1.6db6db42ae621p-5,
  0x1.f1c72c21a1db0p-6,
  0x1.6e89f6cb027a1p-6,
  0x1.1c6bb83cd1fadp-6,
  0x1.c701142f78b7fp-7,
  0x1.8eaccfc3784e6p-7,
  0x1.ac8f9791cd036p-8,
  0x1.3f721f3ed8a10p-6,
  -0x1.090934ec71140p-6,
  0x1.052986a088f45p-5};
/* atan_f32: error 2^-30.3 */
static const double atan_f32[] = {-0x1.555548p-2,
  0x1.999128p-3,
  -0x1.23ae5ap-3,
  0x1.b194eep-4,
  -0x1.f062cap-5};
/* atan_f64: error 2^-63.8 */
static const double atan_f64[] = {-0x1.5555555555554p-2,
  0x1.99999999995bcp-3,
  -0x1.2492492471fb8p-3,
  0x1.c71c71b5e7ab8p-4,
  -0x1.745d148f120c5p-4,
  0x1.3b136ae3ab1b3p-4,
  -0x1.110c47ab5ed63p-4,
  0x1.e16f07e2a1257p-5,
  -0x1.ab6c1f53859eep-5,
  0x1.70ac7af246df9p-5,
  -0x1.11ac6df615bd8p-5,
  0x1.efdaf47e1687ep-7};
/* erf_f32: error 2^-27.8 */
static const double erf_f32[] = {0x1.20dd76p+0,
  -0x1.d7e314p-25,
  0x1.45f2fcp-1,
  0x1.a4f996p-4,
  -0x1.39c0eep-6,
  -0x1.5d03e6p-13,
  0x1.b6a60ap-10,
  -0x1.4da562p-11,
  0x1.f1aee0p-14,
  -0x1.3a780ep-17};
/* erf_f64: error 2^-53.3 */
static const double erf_f64[] = {0x1.20dd750429b6dp+0,
  -0x1.81c1efc7ef21ap-54,
  0x1.45f306dc9c9cep-1,
  0x1.a4f4e2a18d1d8p-4,
  -0x1.396685860cf9ap-6,
  -0x1.b6b6e28220e82p-13,
  0x1.bca6ce5f013f7p-10,
  -0x1.356893128a5a4p-11,
  0x1.b39f2b4971f1fp-16,
  0x1.0d8df3255f38cp-14,
  -0x1.eb4837247fb75p-16,
  0x1.6fe30487998b4p-19,
  0x1.e61dddfed7c4ap-19,
  -0x1.4c5f933967266p-19,
  0x1.da5ce5902d27fp-21,
  -0x1.963e944a2b6b9p-23,
  0x1.ed521c24e7260p-27,
  0x1.9757a8890f23cp-28,
  -0x1.74835874d6cecp-29,
  0x1.4aa2921b2f1f8p-31,
  -0x1.7606da7334100p-34,
  0x1.11d48d865a282p-37,
  -0x1.dd28b3d043b4ep-42,
  0x1.79ce6324b02e8p-47};
/* erf_pieces16: relative error 2^-24.2 */
static const double erf_pieces16[][16] = {
  {0x0p+0, 0x1.2eb530p-2, 0x1.1aa436p-1, 0x1.7d6ca8p-1, 0x1.bde54cp-1, 0x1.e264d4p-1, 0x1.f450eap-1,
    0x1.fbf310p-1, 0x1.fec4fap-1, 0x1.ffac4ap-1, 0x1.ffec92p-1, 0x1.fffc12p-1, 0x1.ffff4ep-1, 0x1.ffffe4p-1,
    0x1.fffffcp-1, 0x1p+0},
  {0x1.20dd76p+0, 0x1.0cce0cp+0, 0x1.b13464p-1, 0x1.2e4692p-1, 0x1.6d47f6p-2, 0x1.7e3d42p-3, 0x1.5a5c1cp-4,
    0x1.0fc574p-5, 0x1.714ff4p-7, 0x1.b2940ep-9, 0x1.bad1bcp-11, 0x1.86b928p-13, 0x1.2a8928p-15,
    0x1.8b098cp-18, 0x1.c4a700p-21, 0x1.c12284p-24},
  {-0x1.78689cp-18, -0x1.20741ap-2, -0x1.d0df72p-2, -0x1.e69098p-2, -0x1.87fd22p-2, -0x1.005db2p-2,
    -0x1.16c704p-3, -0x1.fe59e8p-5, -0x1.8c45a2p-6, -0x1.062f44p-7, -0x1.2821f2p-9, -0x1.2286f8p-11,
    -0x1.d47c02p-14, -0x1.077066p-16, -0x1.b339d8p-21, -0x1.b1124ap-19},
  {-0x1.81021ep-2, -0x1.32dc9cp-2, -0x1.ea1f3cp-4, 0x1.dc517cp-5, 0x1.3d5b3cp-3, 0x1.4b1d42p-3, 0x1.e2d8aap-4,
    0x1.12334ap-4, 0x1.f9846ap-6, 0x1.820abcp-7, 0x1.ee443ep-9, 0x1.0b3fc2p-10, 0x1.eab0fep-13, 0x1.7fd090p-15,
    0x1.007abcp-17, 0x1.25711cp-20},
  {-0x1.4b66a6p-10, 0x1.106c5ap-3, 0x1.751aa0p-3, 0x1.137b8cp-3, 0x1.6d5e40p-5, -0x1.93c8cap-6, -0x1.90ddd2p-5,
    -0x1.59445ep-5, -0x1.9cfb7ep-6, -0x1.82b88ep-7, -0x1.2fb77cp-8, -0x1.2c6508p-10, -0x1.ef0d6ap-12,
    -0x1.2f3e62p-12, -0x1.f0a854p-14, 0x1.012766p-13},
  {0x1.db6afcp-4, 0x1.3c478cp-4, -0x1.490c6cp-9, -0x1.ea9fd4p-5, -0x1.0c2daap-4, -0x1.206fccp-5,
    -0x1.df222cp-9, 0x1.746c0ap-7, 0x1.8f7a44p-7, 0x1.f43a66p-8, 0x1.cbbf4ep-9, 0x1.4c593ep-10, 0x1.85d044p-12,
    0x1.7993eep-14, 0x1.3151bcp-16, 0x1.9f3a4cp-19}};
/* erf_pieces8: relative error 2^-24.2 */
static const double erf_pieces8[][8] = {
  {0x0p+0, 0x1.1b576ep-1, 0x1.be7c06p-1, 0x1.f48646p-1, 0x1.fece68p-1, 0x1.ffed74p-1, 0x1.ffff5ap-1,
    0x1.fffffcp-1},
  {0x1.20dd76p+0, 0x1.b073c6p-1, 0x1.6ac002p-2, 0x1.54fbb4p-4, 0x1.672ea6p-7, 0x1.a7fcc2p-11, 0x1.186cccp-15,
    0x1.9faf58p-21},
  {-0x1.99cca6p-18, -0x1.d178c0p-2, -0x1.8672b0p-2, -0x1.13438ep-3, -0x1.82a3e6p-6, -0x1.1d8d7ep-9,
    -0x1.c975f6p-14, -0x1.8bb032p-21},
  {-0x1.80f798p-2, -0x1.e5347ap-4, 0x1.3e83f6p-3, 0x1.dee7b4p-4, 0x1.eef874p-6, 0x1.dc566ep-9, 0x1.cff768p-13,
    0x1.da5fa8p-18},
  {-0x1.30d6d6p-9, 0x1.777f96p-3, 0x1.63bf58p-5, -0x1.9633a0p-5, -0x1.9313e0p-6, -0x1.0c613cp-8,
    -0x1.2ff57ap-12, -0x1.302044p-14},
  {0x1.04c660p-3, -0x1.f4ab32p-9, -0x1.0bb5dap-4, -0x1.92d1a0p-9, 0x1.8ebaf8p-7, 0x1.bcbbd4p-9, 0x1.6d32a4p-12,
    0x1.138dacp-16},
  {-0x1.64ef36p-5, -0x1.80e410p-5, 0x1.6cc568p-7, 0x1.e56350p-7, -0x1.3e46a0p-9, -0x1.4521fep-9,
    -0x1.1d9b70p-11, 0x1.dea39ap-12},
  {0x1.8b37ccp-6, 0x1.d2bbf6p-8, 0x1.87694ep-7, -0x1.7f7c9ep-8, -0x1.ac08bcp-10, 0x1.59792ep-11,
    0x1.8adeb8p-13, 0x1.082078p-16}};
static const double inverses16[][16] = {
  {0x1p+0, 0x1.e00000p-1, 0x1.c80000p-1, 0x1.b00000p-1, 0x1.980000p-1, 0x1.880000p-1, 0x1.700000p-1,
    0x1.600000p-1, 0x1.580000p-1, 0x1.480000p-1, 0x1.380000p-1, 0x1.300000p-1, 0x1.280000p-1, 0x1.180000p-1,
    0x1.100000p-1, 0x1.080000p-1},
  {0x0p+0, 0x1.7d6000p-4, 0x1.564000p-3, 0x1.f60000p-3, 0x1.4f7000p-2, 0x1.8a8800p-2, 0x1.e7e000p-2,
    0x1.14c600p-1, 0x1.25c000p-1, 0x1.48ee00p-1, 0x1.6de000p-1, 0x1.811000p-1, 0x1.94c200p-1, 0x1.bdce00p-1,
    0x1.d33800p-1, 0x1.e94600p-1},
  {0x0p+0, 0x1.25b3eep-22, -0x1.1eb002p-18, -0x1.3ab7cep-18, -0x1.134c4ep-20, 0x1.80abfcp-18, -0x1.40358ep-19,
    -0x1.3e032ep-18, 0x1.408c78p-18, 0x1.e32630p-18, -0x1.eac382p-20, -0x1.6b9026p-19, 0x1.0e9258p-18,
    0x1.3b992cp-18, 0x1.20a6dep-21, -0x1.a6eb1ep-18}};
static const double inverses8[][8] = {
  {0x1p+0, 0x1.c00000p-1, 0x1.a00000p-1, 0x1.700000p-1, 0x1.500000p-1, 0x1.400000p-1, 0x1.200000p-1,
    0x1.100000p-1},
  {0x0p+0, 0x1.8a8800p-3, 0x1.32c000p-2, 0x1.e7e000p-2, 0x1.372200p-1, 0x1.5b2c00p-1, 0x1.a90000p-1,
    0x1.d33800p-1},
  {0x0p+0, 0x1.80abfcp-19, -0x1.1c8f12p-22, -0x1.40358ep-19, 0x1.5db83ap-20, 0x1.ed0cbap-20, -0x1.a39fbep-19,
    0x1.20a6dep-21}};
/* log2_near16_f32: error 2^-36.1 */
static const double log2_near16_f32[] = {0x1.ec7096p-2, -0x1.71546ep-2, 0x1.27cd54p-2, -0x1.ed13d8p-3};
/* log2_near8_f32: error 2^-34.5 */
static const double log2_near8_f32[] = {0x1.ec709ep-2, -0x1.7153dap-2, 0x1.2775a0p-2, -0x1.ef318cp-3,
    0x1.a938acp-3};
/* log1p_f32: error 2^-25.0 */
static const double log1p_f32[] = {0x1.9f323ep-1, -0x1.2773a4p-2, 0x1.0f9618p-3, -0x1.1541c2p-4, 0x1.2bf076p-5,
  -0x1.50921ap-6, 0x1.7f2a52p-7, -0x1.c3e7fep-8, 0x1.4a8ecep-8, -0x1.878644p-9};
/* exp2_f32: error 2^-28.2 */
static const double exp2_f32[] = {0x1.62e430p-1, 0x1.ebfbe0p-3, 0x1.c6af72p-5, 0x1.3b2a48p-7, 0x1.5f0dd6p-10,
    0x1.4424b4p-13};
/* clang-format on */

/* A table and its length for the width of `f`: the last two arguments of horner(). */
#define POLY(f, name)                           \
  ((f)->width == 32 ? name##_f32 : name##_f64), \
      ((f)->width == 32 ? sizeof name##_f32 : sizeof name##_f64) / sizeof(double)

#endif
