/* The accounts of traffic.h: one record per phase and one for what happens outside of phases. */
#include "monge/traffic.h"

#include <string.h>

#include "monge/log.h"
#include "traffic_count.h"

static struct {
    struct traffic phase[PHASES_MAX + 1]; /* [0]: outside */
    int calls_open, io_open;              /* how deep we are in nested calls and nested I/O */
    double io_began;
} accounts;

static struct traffic *current(void)
{
    return &accounts.phase[phase_running() + 1];
}

double traffic_enter(void)
{
    accounts.calls_open++;
    return wall_seconds();
}

void traffic_leave(double entered, enum traffic_kind kind, double sent, double received)
{
    if (--accounts.calls_open > 0)
        return;
    struct traffic *t = current();
    t->calls++;
    t->sent += sent;
    t->received += received;
    if (accounts.io_open)
        return;
    double seconds = wall_seconds() - entered;
    t->seconds += seconds;
    if (kind == TRAFFIC_NEIGHBOUR)
        t->neighbour_seconds += seconds;
}

void traffic_io_begin(void)
{
    if (accounts.io_open++ == 0)
        accounts.io_began = wall_seconds();
}

void traffic_io_end(void)
{
    if (--accounts.io_open == 0)
        current()->io_seconds += wall_seconds() - accounts.io_began;
}

void traffic_io_bytes(double bytes)
{
    current()->io_bytes += bytes;
}

struct traffic traffic_of(int phase)
{
    return accounts.phase[phase + 1];
}

void traffic_reset(void)
{
    memset(accounts.phase, 0, sizeof accounts.phase);
}
