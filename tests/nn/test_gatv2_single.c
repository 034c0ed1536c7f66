/* nn/gatv2_grid.h in the precision of training. */
#define MONGE_F32
#include "nn/gatv2_grid.h"
