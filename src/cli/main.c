/* placeholder entry until cli/ lands */
#include <stdio.h>
int main(void)
{
    puts("monge");
    return 0;
}
