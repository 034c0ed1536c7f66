/* Two precisions from one source: a file named *_real.c is compiled twice, with MONGE_F32 and with MONGE_F64.
 * REAL(map_solve) is map_solve_f32 in one and map_solve_f64 in the other. */
#ifndef MONGE_REAL_H
#define MONGE_REAL_H

#if defined(MONGE_F32)
typedef float real;
#define REAL(name) name##_f32
#elif defined(MONGE_F64)
typedef double real;
#define REAL(name) name##_f64
#endif

#endif
