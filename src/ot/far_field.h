/* Private to ot/: how much of a column of the kernel lies beyond a radius, for any radial weight. */
#ifndef OT_FAR_FIELD_H
#define OT_FAR_FIELD_H

#include "monge/partition.h"
#include "monge/slide.h"
#include "radial.h"

struct far_field; /* opaque */

/* No communication. */
status far_field_new(struct far_field **far, const struct slide *slide, const struct partition *sites, double radius);
void far_field_free(struct far_field *far);

/* mass[j] = sum over sites i with d_ij > radius of D_i w(d_ij), for own tissue sites j; 0 elsewhere. D is 1 in tissue, `permeability` in
 * the background. */
status far_field_mass(const struct far_field *far, const struct radial_profile *profile, double permeability, double *mass);

#endif
