/*
 * store/image.c: an HDF5 file driver that keeps in memory what HDF5 writes.
 *
 * HDF5's own driver for files in memory holds the whole address space, arrays
 * included. This one holds only the pages that HDF5 writes to; the rest counts
 * as zeros. Running out of memory is remembered and asked for afterwards:
 * HDF5 does not come back from a write that fails while it closes a file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store_internal.h"

#define PAGE 4096

struct driver_file {
    H5FD_t pub; // HDF5's part, first
    struct image *image;
    haddr_t eoa, eof;
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    struct image *const *image = H5Pget_driver_info(access);
    struct error ignored;
    struct driver_file *file = mem_alloc(1, sizeof(*file), &ignored);

    (void)name;
    (void)flags;
    (void)max;
    if (!file) {
        (*image)->starved = 1;
        return NULL;
    }
    file->image = *image;
    return &file->pub;
}

static herr_t driver_close(H5FD_t *pub)
{
    struct driver_file *file = (struct driver_file *)pub;

    file->image->bytes = file->eoa;
    free(file);
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *pub, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)pub)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *pub, H5FD_mem_t type, haddr_t addr)
{
    (void)type;
    ((struct driver_file *)pub)->eoa = addr;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *pub, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)pub)->eof;
}

static herr_t driver_read(H5FD_t *pub, H5FD_mem_t type, hid_t transfer, haddr_t addr, size_t size,
                          void *buf)
{
    (void)type;
    (void)transfer;
    image_read(((struct driver_file *)pub)->image, addr, size, buf);
    return 0;
}

/* The page, made if need be; NULL when memory is out. */
static char *page_at(struct image *image, uint64_t index, struct error *err)
{
    if (index >= image->cap &&
        mem_grow((void *)&image->pages, &image->cap, index + 1, sizeof(*image->pages), err) < 0)
        return NULL;
    for (; image->count <= index; image->count++)
        image->pages[image->count] = NULL;
    if (!image->pages[index])
        image->pages[index] = mem_alloc(PAGE, 1, err);
    return image->pages[index];
}

static herr_t driver_write(H5FD_t *pub, H5FD_mem_t type, hid_t transfer, haddr_t addr, size_t size,
                           const void *buf)
{
    struct driver_file *file = (struct driver_file *)pub;
    const char *from = buf;
    struct error ignored;

    (void)type;
    (void)transfer;
    if (addr + size > file->eof)
        file->eof = addr + size;
    while (size > 0) {
        char *page = page_at(file->image, addr / PAGE, &ignored);
        size_t now = PAGE - addr % PAGE;

        now = now < size ? now : size;
        if (page)
            memcpy(page + addr % PAGE, from, now);
        else
            file->image->starved = 1;
        addr += now;
        from += now;
        size -= now;
    }
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, // from 512 on they are the applications'
#endif
    .name = "lowrank_image",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct image *),
    .open = driver_open,
    .close = driver_close,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t image_driver(hid_t access, struct image *image)
{
    hid_t id = H5FDregister(&driver);

    if (id >= 0 && H5Pset_driver(access, id, &image) < 0) {
        (void)H5FDunregister(id);
        id = -1;
    }
    return id;
}

void image_read(const struct image *image, uint64_t addr, size_t size, void *buf)
{
    char *to = buf;

    while (size > 0) {
        const char *page = addr / PAGE < image->count ? image->pages[addr / PAGE] : NULL;
        size_t now = PAGE - addr % PAGE;

        now = now < size ? now : size;
        if (page)
            memcpy(to, page + addr % PAGE, now);
        else
            memset(to, 0, now);
        addr += now;
        to += now;
        size -= now;
    }
}

void image_pack(const struct image *image, struct strbuf *out)
{
    for (uint64_t i = 0; i < image->count; i++)
        if (image->pages[i]) {
            strbuf_add(out, &i, sizeof(i));
            strbuf_add(out, image->pages[i], PAGE);
        }
}

int image_unpack(struct image *image, const char *packed, size_t len, struct error *err)
{
    for (const char *at = packed; at < packed + len; at += sizeof(uint64_t) + PAGE) {
        uint64_t index;
        char *page;

        memcpy(&index, at, sizeof(index));
        page = page_at(image, index, err);
        if (!page)
            return -1;
        memcpy(page, at + sizeof(index), PAGE);
    }
    return 0;
}

void image_release(struct image *image)
{
    for (uint64_t i = 0; i < image->count; i++)
        free(image->pages[i]);
    free(image->pages);
    *image = (struct image){ 0 };
}
