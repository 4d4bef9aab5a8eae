/*
 * train/job.c: everything up to the first step.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "dist/signal.h"
#include "model/hub.h"
#include "text/template.h"
#include "train/train_internal.h"

/* Where the run writes, before anything takes long. */
static int check_output(const struct job *job, struct error *err)
{
    int rc = job->dist->rank == 0 ? folder_can_be_made(job->cfg->output_dir, err) : 0;

    if (rc < 0)
        (void)error_wrap(err, "'output_dir' is '%s'", job->cfg->output_dir);
    return dist_agree(job->dist, rc, err);
}

static int find_model(struct job *job, struct error *err)
{
    const struct config *cfg = job->cfg;
    size_t len = 0;
    int rc = 0;

    if (job->dist->rank == 0)
        rc = model_folder_find(&job->model_folder, cfg->model_name_or_path, cfg->cache_dir,
                               cfg->model_revision, err);
    if (dist_agree(job->dist, rc, err) < 0)
        return -1;
    if (job->model_folder)
        len = strlen(job->model_folder);
    return dist_bcast_text(job->dist, &job->model_folder, &len, 0, err);
}

/* Rank 0's choice of backend is everyone's; factors are rounded on all ranks or on none. */
static int open_compute(struct job *job, struct error *err)
{
    int backend = gemm_backend_from_name(job->cfg->gemm_backend);
    int64_t everywhere;
    int rc;

    job->threads = job->cfg->threads_per_rank;
    if (job->threads == 0 && cores_of_rank(job->dist, &job->threads, err) < 0)
        return -1;
    if (backend < 0)
        rc = error_set(err, "gemm_backend '%s' was not built in; see 'lowrank info'",
                       job->cfg->gemm_backend);
    else
        rc = nn_open(&job->nn, (enum gemm_backend)backend, job->threads, err);
    if (dist_agree(job->dist, rc, err) < 0)
        return -1;
    backend = (int)job->nn.backend;
    dist_bcast(job->dist, &backend, sizeof(backend), 0);
    if (backend != (int)job->nn.backend) { // a node of another type
        nn_close(&job->nn);
        rc = nn_open(&job->nn, (enum gemm_backend)backend, job->threads, err);
        if (rc < 0)
            (void)error_set(err,
                            "the matrix backend of rank 0, '%s', does not work on this node; set "
                            "gemm_backend to native",
                            gemm_backend_name((enum gemm_backend)backend));
    }
    if (dist_agree(job->dist, rc, err) < 0)
        return -1;
    everywhere = nn_has_bf16(&job->nn);
    dist_min_i64(job->dist, &everywhere, 1);
    if (job->cfg->bf16 && everywhere)
        nn_use_bf16(&job->nn);
    return 0;
}

/* The adapter of adapter_name_or_path, which names one, in adapter_folder below it. */
static int load_adapter(struct job *job, const struct lora_linear *linears, int n,
                        struct error *err)
{
    const struct config *cfg = job->cfg;
    const char *below = cfg->adapter_folder ? cfg->adapter_folder : "";
    char *folder = path_join(cfg->adapter_name_or_path.items[0], below, err);
    int rc = folder ? adapter_load(&job->adapter, folder, linears, n, err) : -1;

    if (rc == 0)
        log_info("adapter: from '%s', with its own rank, alpha and modules", folder);
    free(folder);
    return rc;
}

/* The schedule of the learning rate but for its length: mistakes in it are found before data is read. */
static int open_rate(struct job *job, struct error *err)
{
    const struct config *cfg = job->cfg;

    if (lr_schedule_init(&job->lr_options, cfg->lr_scheduler_type, cfg->learning_rate, err) < 0)
        return -1;
    for (int i = 0; i < cfg->lr_scheduler_kwargs.n; i++)
        if (lr_schedule_option(&job->lr_options, cfg->lr_scheduler_kwargs.entries[i].key,
                               cfg->lr_scheduler_kwargs.entries[i].value, err) < 0)
            return -1;
    return 0;
}

/* The scheduler says that this job ran before and was requeued: rank 0's environment counts. */
static int was_requeued(const struct dist *dist)
{
    const char *count = getenv("SLURM_RESTART_COUNT");
    int32_t requeued = count && strtol(count, NULL, 10) > 0;

    dist_bcast(dist, &requeued, sizeof(requeued), 0);
    return requeued;
}

static int open_adapter(struct job *job, struct error *err)
{
    const struct config *cfg = job->cfg;
    struct lora_linear *linears = NULL;
    struct lora_params params = { .lora_rank = cfg->lora_rank,
                                  .lora_alpha = cfg->lora_alpha,
                                  .lora_dropout = cfg->lora_dropout,
                                  .targets = (const char *const *)cfg->lora_target.items,
                                  .target_count = cfg->lora_target.n,
                                  .use_rslora = cfg->use_rslora,
                                  .seed = (uint64_t)cfg->seed };
    int n = 0, rc;

    if (model_linears(&job->model, &linears, &n, err) < 0)
        return -1;
    if (cfg->adapter_name_or_path.n > 0)
        rc = load_adapter(job, linears, n, err);
    else
        rc = adapter_open(&job->adapter, &params, linears, n, err);
    free(linears);
    if (rc == 0)
        model_attach(&job->model, &job->adapter);
    return rc;
}

static int stop_flag(void *arg)
{
    (void)arg;
    return signal_stop_requested() != 0;
}

static struct prepare_params prepare_params_of(const struct job *job, int dry)
{
    const struct config *cfg = job->cfg;

    return (struct prepare_params){
        .dataset_dir = cfg->dataset_dir,
        .dataset = (const char *const *)cfg->dataset.items,
        .dataset_count = cfg->dataset.n,
        .eval_dataset = (const char *const *)cfg->eval_dataset.items,
        .eval_dataset_count = cfg->eval_dataset.n,
        .eval_on_each_dataset = cfg->eval_on_each_dataset,
        .max_samples = cfg->max_samples,
        .val_size = cfg->val_size,
        .seed = (uint64_t)cfg->seed,
        .cutoff_len = cfg->cutoff_len,
        .packing = cfg->neat_packing ? PACKING_NEAT
                   : cfg->packing    ? PACKING_PLAIN
                                     : PACKING_OFF,
        .preprocessing_batch_size = cfg->preprocessing_batch_size,
        .preprocessing_num_workers = cfg->preprocessing_num_workers,
        .skip_bad_samples = strcmp(cfg->on_bad_sample, "skip") == 0,
        .overwrite_cache = cfg->overwrite_cache && !job->requeued,
        .cache_dir = cfg->cache_dir ? cfg->cache_dir : cfg->output_dir,
        .tokenized_path = cfg->tokenized_path,
        .dry_run = dry,
        .budget_bytes = (size_t)1 << 30,
        .stop = stop_flag,
    };
}

static int open_template(const struct job *job, const struct prepare_params *prepare,
                         struct tokenizer **tok, struct template **tmpl, struct error *err)
{
    const struct config *cfg = job->cfg;
    struct template_params params = { .name = cfg->template,
                                      .model_folder = job->model_folder,
                                      .cutoff_len = prepare_cutoff(prepare),
                                      .train_on_prompt = cfg->train_on_prompt,
                                      .mask_history = cfg->mask_history,
                                      .enable_thinking = cfg->enable_thinking,
                                      .preserve_thinking = cfg->preserve_thinking,
                                      .default_system = cfg->default_system,
                                      .tool_format = cfg->tool_format,
                                      .split_special_tokens = cfg->split_special_tokens };

    if (tokenizer_open(tok, job->model_folder, err) < 0)
        return -1;
    return template_open(tmpl, &params, *tok, err);
}

static void report_samples(const struct job *job)
{
    const struct sample_store *store = &job->store;

    for (int s = 0; s < store->set_count; s++)
        log_info("samples: %s has %zu rows, %lld tokens", store->sets[s].name, store->sets[s].count,
                 (long long)store->sets[s].tokens);
    if (store->reused &&
        store->skipped > 0) // data/prepare.c names the first when it makes the store
        log_warn("%lld bad rows are left out (on_bad_sample: skip)", (long long)store->skipped);
    if (store->reused && store->dropped > 0)
        log_warn(
            "%lld rows are not usable and left out: without reply or tokens, or roles out of order",
            (long long)store->dropped);
    if (store->at_limit > 0)
        log_info("samples: %lld are as long as cutoff_len allows; longer ones were cut",
                 (long long)store->at_limit);
    log_info("samples: %s '%s' (%.1f s)",
             store->reused ? "taken from"
             : store->file ? "written to"
                           : "to be written to",
             store->path, job->prepared.total_s);
}

/* The sample store, made or found. The tokenizer is not needed afterwards. */
static int open_samples(struct job *job, int dry, struct error *err)
{
    struct prepare_params params = prepare_params_of(job, dry);
    struct tokenizer *tok = NULL;
    int rc = open_template(job, &params, &tok, &params.template, err);

    rc = dist_agree(job->dist, rc, err);
    if (rc == 0)
        rc = prepare_samples(&job->store, &params, &job->prepared, job->dist, err);
    if (rc == PREPARE_DONE && job->store.max_id >= job->model.config.V)
        rc = error_set(err,
                       "the data has token %d but model '%s' only %d: another model's tokenizer?",
                       job->store.max_id, job->model_folder, job->model.config.V);
    if (rc == PREPARE_DONE)
        report_samples(job);
    template_close(params.template);
    tokenizer_close(tok);
    return rc;
}

/*
 * What decides the result: configuration, base model, data, the adapter it starts from. Where the batch is that of a
 * rank, the number of ranks is not in it: a run that goes on keeps the rows of its steps.
 */
static int make_run_key(struct job *job, struct error *err)
{
    struct strbuf text = { 0 };
    struct hash key;
    struct hash model = model_fingerprint(&job->model);
    int64_t batch[] = { job->cfg->global_batch_size, global_batch_of(job->cfg, 1) };
    int rc;

    config_result_text(job->cfg, &text);
    rc = strbuf_check(&text, err);
    key = hash_bytes(strbuf_text(&text), text.len);
    key = hash_chain(key, &model, sizeof(model));
    key = hash_chain(key, &job->store.key, sizeof(job->store.key));
    key = hash_chain(key, job->adapter.params, job->adapter.param_count * sizeof(float));
    key = hash_chain(key, batch, sizeof(batch));
    job->run_key = key;
    strbuf_release(&text);
    return rc;
}

int job_open(struct job *job, struct dist *dist, const struct config *cfg, int dry,
             struct error *err)
{
    char text[128];
    int rc;

    *job = (struct job){ .dist = dist, .cfg = cfg, .start_s = clock_s() };
    omp_init_lock(&job->outside);
    for (int i = 0; i < STEP_LOCKS; i++)
        omp_init_lock(&job->sum_lock[i]);
    job->requeued = was_requeued(dist);
    if (dist_agree(dist, open_rate(job, err), err) < 0 || check_output(job, err) < 0 ||
        find_model(job, err) < 0 || open_compute(job, err) < 0)
        return -1;
    gemm_describe(&job->nn, text, sizeof(text));
    log_info("compute: %d rank%s on %d node%s, %d thread%s each, matrix backend %s", dist->size,
             dist->size > 1 ? "s" : "", dist->node_count, dist->node_count > 1 ? "s" : "",
             job->threads, job->threads > 1 ? "s" : "", text);
    rc = model_open(&job->model, job->model_folder, err);
    if (rc == 0)
        rc = open_adapter(job, err);
    if (dist_agree(dist, rc, err) < 0)
        return -1;
    log_info("model: %s, %d layers, %.1f M parameters in them; adapter: rank %d on %d modules, "
             "%.2f M parameters",
             job->model.config.architecture, job->model.config.L,
             model_layer_parameters(&job->model) * 1e-6, job->adapter.R, job->adapter.count,
             (double)job->adapter.param_count * 1e-6);
    rc = open_samples(job, dry, err);
    if (rc < 0 || rc == PREPARE_INTERRUPTED)
        return rc < 0 ? -1 : TRAIN_INTERRUPTED;
    if (cfg->do_train)
        job->train = sample_store_set(&job->store, "train");
    return dist_agree(dist, make_run_key(job, err), err);
}

static void place(struct job *job)
{
    size_t P = job->adapter.param_count;

    job->exp_avg = arena_take(&job->arena, P, sizeof(float));
    job->exp_avg_sq = arena_take(&job->arena, P, sizeof(float));
    job->grad = arena_take(&job->arena, P, sizeof(float));
    job->sum = arena_take(&job->arena, METER_COUNT + P, sizeof(int64_t));
    dist_sum_place(&job->reduction, &job->arena, job->dist, METER_COUNT + P);
    deal_place(&job->deal, &job->arena, (size_t)job->plan.leaves_max,
               job->plan.ranks * job->plan.workers);
    job->evals = arena_take(&job->arena, (size_t)job->store.set_count, sizeof(*job->evals));
    workers_place(job);
}

int job_reserve(struct job *job, struct error *err)
{
    size_t bytes;

    place(job);
    bytes = job->arena.peak;
    job->arena = (struct arena){ 0 };
    if (dist_agree(job->dist, arena_open(&job->arena, bytes, err), err) < 0)
        return -1;
    place(job); // fresh pages of the arena are zero: moments start at 0
    return 0;
}

void job_close(struct job *job)
{
    struct error ignored; // the run's own error is the one to tell

    (void)flush_wait(&job->flush, &ignored);
    trainer_log_close(&job->log);
    history_release(&job->history);
    strbuf_release(&job->profile.steps);
    arena_close(&job->arena);
    schedule_close(&job->schedule);
    sample_store_close(&job->store);
    adapter_close(&job->adapter);
    model_close(&job->model);
    nn_close(&job->nn);
    free(job->model_folder);
    omp_destroy_lock(&job->outside);
    for (int i = 0; i < STEP_LOCKS; i++)
        omp_destroy_lock(&job->sum_lock[i]);
}
