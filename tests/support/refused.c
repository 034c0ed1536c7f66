#include "refused.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "suite.h"

int outputs_left(void)
{
    int n = 0;
    DIR *folder = opendir(scratch_folder());
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        n += !strncmp(entry->d_name, "out", 3) && strncmp(entry->d_name, "out.h5ad.checkpoint.", 20) != 0;
    closedir(folder);
    return n;
}

void refused(const char *arguments, int code, const char *const *parts)
{
    static const char *const launchers[] = {"mpirun -n 2 ", ""};
    for (int k = 0; k < (getenv("MONGE_LONG") ? 2 : 1); k++) {
        char command[2048];
        int got;
        snprintf(command, sizeof command, "timeout 120 %s$M %s", launchers[k], arguments);
        char *output = child_shell(command, &got);
        if (got != code)
            fail_msg("%s\nexit code %d instead of %d\n%s", command, got, code, output);
        for (int p = 0; parts[p]; p++)
            if (!strstr(output, parts[p]))
                fail_msg("%s\nthe message lacks '%s':\n%s", command, parts[p], output);
        if (occurrences(output, "monge: error") != 1)
            fail_msg("%s\nnot one message but:\n%s", command, output);
        if (outputs_left() != 0)
            fail_msg("%s\nleft a file behind:\n%s", command, output);
        free(output);
    }
}
