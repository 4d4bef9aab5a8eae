/*
 * fuzz target of lora's reading of adapter_config.json
 */
#include <stdint.h>
#include <stdlib.h>

#include "lora/lora_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct adapter adapter = { 0 };
    struct error err;

    if (adapter_config_parse(&adapter, (const char *)data, size, "fuzz", &err) == 0 &&
        (adapter.R < 1 || adapter.R > LORA_RANK_MAX || !(adapter.scale > 0)))
        abort();
    adapter_close(&adapter);
    return 0;
}
