#define MONGE_F64
#include "support/nn_cases_real.h"

int cases_number(void)
{
    return (int)(sizeof CASES / sizeof *CASES);
}

const char *case_name(int number)
{
    return CASES[number].name;
}

void case_result_free(struct case_result *result)
{
    free(result->out);
    for (int k = 0; k < result->n_leaves; k++)
        free(result->gradient[k]);
}
