/*
 * store/h5put.c: texts, numbers and names, alike for both ways of writing.
 *
 * Closing an id forgets why the call before it failed, so the reason is kept
 * aside and given back at the end.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store_internal.h"

/* Room for the seal; attributes and links stay in the root's header. */
hid_t h5file_creation_list(void)
{
    hid_t list = H5Pcreate(H5P_FILE_CREATE);

    if (list < 0 || H5Pset_userblock(list, SEAL_BYTES) < 0 ||
        H5Pset_link_phase_change(list, 256, 128) < 0 ||
        H5Pset_attr_phase_change(list, 256, 128) < 0 || H5Pset_obj_track_times(list, 0) < 0)
        BUG("HDF5 refuses its own settings");
    return list;
}

int h5put_text(hid_t file, const char *name, const char *text, size_t len)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(len > 0 ? H5S_SCALAR : H5S_NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hid_t id = -1;
    hid_t why;
    int rc = -1;

    if (type >= 0 && space >= 0 && list >= 0 && H5Tset_size(type, len > 0 ? len : 1) >= 0 &&
        H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
        H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0)
        id = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (id >= 0 &&
        (!text || len == 0 || H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0))
        rc = 0;
    why = rc < 0 ? H5Eget_current_stack() : -1;
    (void)H5Pclose(list);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    if (id >= 0 && H5Dclose(id) < 0)
        rc = -1;
    if (why >= 0)
        (void)H5Eset_current_stack(why);
    return rc;
}

int h5put_number(hid_t file, const char *name, enum h5type type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t id = H5Acreate2(file, name, h5type_stored(type), space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = id < 0 || H5Awrite(id, h5type_native(type), value) < 0 ? -1 : 0;
    hid_t why = rc < 0 ? H5Eget_current_stack() : -1;

    (void)H5Sclose(space);
    if (id >= 0 && H5Aclose(id) < 0)
        rc = -1;
    if (why >= 0)
        (void)H5Eset_current_stack(why);
    return rc;
}

char *h5file_temp_name(const char *path, struct error *err)
{
    size_t len = strlen(path) + 64;
    char *temp = mem_alloc(len, 1, err);

    if (temp)
        (void)snprintf(temp, len, "%s" H5FILE_TEMP "%ld-%lld", path, (long)getpid(),
                       (long long)(clock_s() * 1e9));
    return temp;
}
