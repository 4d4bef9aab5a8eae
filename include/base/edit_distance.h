/*
 * base/edit_distance.h: how far a misspelt name is from one that is known. Local.
 */
#ifndef BASE_EDIT_DISTANCE_H
#define BASE_EDIT_DISTANCE_H

enum { EDIT_DISTANCE_MAX = 64 }; // bytes of a name that are compared

/* Letters to insert, delete, replace or swap with a neighbour to make a into b. */
int edit_distance(const char *a, const char *b);

#endif
