/* nn/gatv2_grid.h in double precision. */
#define MONGE_F64
#include "nn/gatv2_grid.h"
