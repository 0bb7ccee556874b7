# SPDX-License-Identifier: Apache-2.0
#
# The metadata service: its TCP/IP, its document, requests and tokens (mutants.py).
IP, TCP = "devices/mmds/responder.c", "devices/mmds/responder_tcp.c"
NET = "devices/virtio/net/net_mmds.c"
TREE, DOCUMENT = "core/json/json_tree.c", "vmm/mmds/mmds.c"
HTTP, TOKEN = "vmm/mmds/mmds_http.c", "vmm/mmds/mmds_token.c"
BODIES, CONFIG, STATE = "vmm/config/mmds_bodies.c", "vmm/config/config.c", "vmm/config/config_state.c"

MUTANTS = [
    # ----------------------------------------------------------------- frames
    ("a neighbour's frames are taken, too", IP, "get32(head + at) == r->address;", "get32(head + at) >> 8 == r->address >> 8;",
     "responder_test"),
    ("ARP replies are answered", IP, "static const uint8_t request[] = {0, 1, 8, 0, MAC_LEN, 4, 0, 1};",
     "static const uint8_t request[] = {0, 1, 8, 0, MAC_LEN, 4};", "responder_test"),
    ("padding is data", IP, "read_tcp(&s, ip + head, total - head)", "read_tcp(&s, ip + head, len - ETH_LEN - head)",
     "responder_loss_test"),
    ("a later fragment is a segment", IP, "get16(ip + 6) & 0x3fff", "get16(ip + 6) & 0x2000", "responder_loss_test"),
    ("a TCP header may be longer than its packet", IP, "head < TCP_LEN || head > len", "head < TCP_LEN", "responder_loss_test"),
    ("the length is not in the checksum", IP, "sum(IP_TCP + (uint32_t)len,", "sum(IP_TCP,", "responder_test"),
    # ------------------------------------------------------------ connections
    ("any RST ends a connection", TCP, "\t\tif (s->seq == c->next_in)\n\t\t\tforget(r, c);\n", "\t\tforget(r, c);\n",
     "responder_test"),
    ("the newest connection makes room", TCP, "c->last_heard < oldest->last_heard", "c->last_heard > oldest->last_heard",
     "responder_test"),
    ("what was not sent can be acknowledged", TCP, "\tif (n > c->highest) {\n", "\tif (n > c->highest + 1000) {\n",
     "responder_loss_test"),
    ("old data is taken again", TCP, "min_u64(fresh, room));\n\tc->next_in", "0);\n\tc->next_in", "responder_loss_test"),
    ("data from the future is taken", TCP, "\tif (c->fin_in || old > s->len)\n\t\treturn;", "\tif (c->fin_in)\n\t\treturn;\n\told = 0;",
     "responder_loss_test"),
    ("a keep-alive is not answered", TCP, "\tif (!s->len && !has_fin && !old)\n", "\tif (!s->len && !has_fin)\n",
     "responder_loss_test"),
    ("the next request is answered before the last reply arrived", TCP, "\tif (c->syn || c->closing || c->reply.len)\n",
     "\tif (c->syn || c->closing || (c->reply.len && !c->sent))\n", "responder_test"),
    ("the guest's window is not looked at", TCP, "min_u64(reply_left(c), window)", "reply_left(c) + 0 * window", "responder_loss_test"),
    ("the segment size is not looked at", TCP, "min_u64(end - c->sent, c->mss)", "min_u64(end - c->sent, 1460)",
     "responder_loss_test"),
    ("a lost segment is not sent again", TCP, "\t\tc->sent = 0;\n\t\tc->probe = true;\n", "\t\tc->probe = true;\n",
     "responder_loss_test"),
    ("it never gives up", TCP, "c->retries == RETRIES_MAX", "c->retries == 30", "responder_loss_test"),
    ("a closed window is not probed", TCP, "c->probe && !c->window ? 1 : c->window", "c->window", "responder_loss_test"),
    ("any number of resets wait", TCP, "\tif (r->reset_count == RESETS_MAX)\n\t\treturn;\n",
     "\tif (r->reset_count == RESETS_MAX)\n\t\tr->reset_count = 0;\n\telse if (r->reset_count == 7)\n\t\treturn;\n", "responder_test"),
    # -------------------------------------------------------------- the device
    ("frames for the service go to the tap, too", NET, "\tn->mmds.pending = true;\n\t/*", "\treturn false;\n\t/*",
     "virtio_net_mmds_test"),
    ("its answers are charged to the rate limit", NET, "\trx->paid = true;\n", "\trx->paid = false;\n", "virtio_net_mmds_test"),
    ("the timer is forgotten in a pause", NET, "\tn->mmds.pending = true; /*", "\t/*", "virtio_net_mmds_test"),
    ("the timer is not armed", NET, "\tif (!deadline ||", "\tif (deadline ||", "virtio_net_mmds_test"),
    # ------------------------------------------------------------- the document
    ("null is kept by a merge", TREE, "\t\tjson_object_del(l->target, name);\n", "", "mmds_document_test"),
    ("a merge replaces objects", TREE, "\tif (json_is_object(object))\n\t\treturn object;\n", "", "mmds_document_test"),
    ("a leading zero is a number", TREE, "\t    (digits > 1 && *name == '0'))\n", "\t    digits > 9)\n", "mmds_test"),
    ("the limit is not checked", DOCUMENT, "text.len > m->limit", "text.len > m->limit + 1", "mmds_document_test"),
    ("members are in the order of the file", TREE, "JSON_COMPACT | JSON_SORT_KEYS |", "JSON_COMPACT |", "mmds_document_test"),
    # ----------------------------------------------------------------- requests
    ("version 2 serves without a token", HTTP, "\t\tmetric_add(&m->server.metrics->rx_no_token, 1);\n\t\tif (m->config->v2) {",
     "\t\tmetric_add(&m->server.metrics->rx_no_token, 1);\n\t\tif (!m->config) {", "mmds_test"),
    ("version 2 serves with any token", HTTP, "\t\tmetric_add(&m->server.metrics->rx_invalid_token, 1);\n\t\tif (m->config->v2) {",
     "\t\tmetric_add(&m->server.metrics->rx_invalid_token, 1);\n\t\tif (!m->config) {", "mmds_test"),
    ("a proxy's request gets a token", HTTP, "\tif (q->header[FORWARDED].at)\n", "\tif (q->header[FORWARDED].len > 100)\n", "mmds_test"),
    ("imds_compat answers JSON", HTTP, "wants_json(q) && !m->config->imds_compat", "wants_json(q)", "mmds_test"),
    ("a lifetime may be any", HTTP, "ttl_s < TOKEN_TTL_MIN || ttl_s > TOKEN_TTL_MAX", "ttl_s < TOKEN_TTL_MIN", "mmds_test"),
    # ------------------------------------------------------------------- tokens
    ("tokens do not end", TOKEN, "!differ && load(tagged, 8) > now - m->born", "!differ && now", "mmds_test"),
    ("half of a tag is enough", TOKEN, "i < TOKEN_LEN; i++)\n\t\tdiffer", "i < 48; i++)\n\t\tdiffer", "mmds_test"),
    ("the tag does not depend on the key", TOKEN, "const uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);",
     "const uint64_t k0 = load(data, len & 7), k1 = key ? 7 : 0;", "mmds_test"),
    # ------------------------------------------------------------ configuration
    ("any address is link-local", CONFIG, "mmds->address >> 16 == 0xa9fe && third", "third", "api_mmds_test"),
    ("a vhost interface has the service", BODIES, "\t\tif (interface->vhost)\n", "\t\tif (!interface)\n", "api_mmds_test"),
    ("an interface that is configured again loses its service", CONFIG, "\tinterface->mmds = old->mmds;\n", "", "api_mmds_test"),
    ("an earlier configuration's interfaces stay", BODIES, "\t\tconfig->interface[i].mmds = false;\n", "\t\t(void)config;\n",
     "api_mmds_test"),
    ("snapshots forget which interfaces", STATE, "\t\tsnap_bool(s, &c->interface[i].mmds);\n", "\t\tsnap_bool(s, &(bool){false});\n",
     "config_state_test"),
]
