/*
 * model/hub.h: where a model's folder is.
 *
 * Local.
 */
#ifndef MODEL_HUB_H
#define MODEL_HUB_H

#include "base/error.h"

/*
 * *folder: name itself when it is a folder; otherwise the snapshot of that hub
 * name ("Qwen/Qwen3-4B") and revision in the Hugging Face cache. The cache is
 * cache_dir when given, else HF_HUB_CACHE, HF_HOME/hub, or
 * ~/.cache/huggingface/hub. Nothing is fetched: when the model is not there
 * the message says which command fetches it. *folder is the caller's to free().
 */
int model_folder_find(char **folder, const char *name, const char *cache_dir, const char *revision,
                      struct error *err);

#endif
