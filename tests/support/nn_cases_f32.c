#define MONGE_F32
#include "support/nn_cases_real.h"
