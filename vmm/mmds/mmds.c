/* SPDX-License-Identifier: Apache-2.0 */
/* The document. */
#include "vmm/mmds/mmds.h"

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "core/json/json_tree.h"
#include "vmm/mmds/mmds_internal.h"

static struct responder_metrics metrics;

#define COUNTER(name) METRIC(struct responder_metrics, name)

static const struct metric metric_table[] = {
	COUNTER(rx_accepted),
	COUNTER(rx_accepted_err),
	COUNTER(rx_accepted_unusual),
	COUNTER(rx_bad_eth),
	COUNTER(rx_invalid_token),
	COUNTER(rx_no_token),
	COUNTER(rx_count),
	COUNTER(tx_bytes),
	COUNTER(tx_count),
	COUNTER(tx_errors),
	COUNTER(tx_frames),
	COUNTER(connections_created),
	COUNTER(connections_destroyed),
};

static struct metrics_group group = {
	.name = "mmds",
	.metric = metric_table,
	.count = ARRAY_SIZE(metric_table),
	.base = &metrics,
};

void mmds_init(struct mmds *m, const struct mmds_config *config)
{
	*m = (struct mmds){
		.config = config,
		.limit = MMDS_LIMIT_DEFAULT,
		.server = {mmds_answer, m, &metrics},
	};
	metrics_add(&group);
}

void mmds_fini(struct mmds *m)
{
	metrics_remove(&group);
	json_free(m->data);
	m->data = NULL;
}

/* Take a copy of @json for the document. */
static int replace(struct mmds *m, const struct json_t *json, struct err *e)
{
	struct json_t *copy = json_sorted_copy(json);
	struct buf text = {0};
	int r = 0;

	if (copy)
		json_add(&text, copy);
	if (!copy || text.failed)
		r = err_set(e, "There is no memory for the metadata.");
	else if (text.len > m->limit) {
		/* Firecracker's, also of a PUT. */
		err_set(e, "The MMDS patch request doesn't fit.");
		r = MMDS_TOO_LARGE;
	} else {
		json_free(m->data);
		m->data = copy;
		copy = NULL;
	}
	json_free(copy);
	buf_free(&text);
	return r;
}

int mmds_put(struct mmds *m, const struct json_t *json, struct err *e)
{
	if (!json_is_an_object(json))
		return err_set(e, "The metadata is not a JSON object.");
	return replace(m, json, e);
}

int mmds_patch(struct mmds *m, const struct json_t *json, struct err *e)
{
	struct json_t *copy;
	int r;

	if (!json_is_an_object(json))
		return err_set(e, "The metadata is not a JSON object.");
	if (!m->data)
		return err_set(e, "The MMDS data store is not initialized.");
	copy = json_sorted_copy(m->data);
	if (!copy)
		return err_set(e, "There is no memory for the metadata.");
	r = json_merge(copy, json, e);
	if (!r)
		r = replace(m, copy, e);
	json_free(copy);
	return r;
}

void mmds_print(const struct mmds *m, struct buf *out)
{
	if (m->data)
		json_add(out, m->data);
	else
		buf_text(out, "{}");
}
