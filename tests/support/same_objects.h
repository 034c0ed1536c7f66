/* Comparing HDF5 files object by object. */
#ifndef TESTS_SAME_OBJECTS_H
#define TESTS_SAME_OBJECTS_H

/* Fails the test unless every object of file a (attributes, types, shapes, values) is in file b and equal, except those whose path
 * begins with one of `except` (NULL-terminated) and the column-order attributes named in it ("obs@column-order"). Returns the
 * number of objects compared. Serial. */
int same_objects(const char *a, const char *b, const char *const *except);

/* The same of two outputs in the scratch folder, except for what a run records of itself. */
void same_outputs(const char *a, const char *b);

#endif
