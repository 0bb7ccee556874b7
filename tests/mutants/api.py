# SPDX-License-Identifier: Apache-2.0
#
# The API, its clients, JSON and the configuration (mutants.py).
HTTP, CONN, SERVER, ROUTES = (f"vmm/api/{name}.c" for name in ("http", "connection", "server", "routes"))
HANDLERS, CLIENT, LISTENER = "vmm/api/handlers.c", "vmm/ctl/client.c", "core/io/listener.c"
PLACE = "core/json/json_place.c"
JSON, CONFIG, FILE, BODIES = "core/json/json.c", "vmm/config/config.c", "vmm/config/file/config_file.c", "vmm/config/snapshot_bodies.c"
SINK, BUF = "vmm/instance/metrics_sink.c", "core/base/buf.c"

MUTANTS = [
    # --------------------------------------------------------------------- HTTP
    ("a line may be of any length", HTTP, "\tif (p->line > HTTP_LINE_MAX)\n", "\tif (p->line > HTTP_LINE_MAX * 100)\n", "http_test"),
    ("headers may be of any length", HTTP, "\tif (p->head > HTTP_HEAD_MAX)\n", "\tif (p->head > HTTP_HEAD_MAX * 100)\n", "http_test"),
    ("a chunked body may be of any length", HTTP, "\tif (len > p->body_max - p->body.len)\n", "\tif (len > p->body_max)\n", "http_test"),
    ("a body that says it is too long is waited for", HTTP, "\tif (llhttp->content_length > p->body_max &&\n", "\tif (llhttp->content_length > 1ull << 60 &&\n", "http_test"),
    ("a long header overruns its buffer", HTTP, [("\t\tif (*text_len < HTTP_NAME_MAX - 1)\n", "\t\tif (*text_len < 4096)\n"),
     ("*text_len += *text_len < HTTP_NAME_MAX;", "*text_len += 1;")], "http_test"),
    ("a header that begins like Expect is one", HTTP, "p->name_len == strlen(\"Expect\") && !strcasecmp", "!strncasecmp(p->name, \"Expect\", 6) && !!strcasecmp", "http_test"),
    ("the body of one request is the next one's, too", HTTP, "\tbuf_free(&p->body);\n\tp->line", "\tp->line", "http_test"),

    # -------------------------------------------------------------- connections
    ("answers pile up for a client that does not read", CONN, "\t       c->out.len < API_OUTPUT_HIGH) {\n", "\t       c->out.len < API_OUTPUT_HIGH * 1000ull) {\n", "api_server_test"),
    ("events pile up for a client that does not read", CONN, "\tif (c->out.len > API_OUTPUT_HIGH) {\n", "\tif (c->out.len > API_OUTPUT_HIGH * 1000ull) {\n", "api_server_test"),
    ("a refused connection goes on", CONN, "\tc->mode = CONN_DISCARD;\n\tc->in_len = 0;\n}\n\nstatic unsigned", "\tc->in_len = 0;\n}\n\nstatic unsigned", "api_server_test"),
    ("any number of clients read events", CONN, "\tif (count_streams(c->api) >= API_STREAMS_MAX) {\n", "\tif (count_streams(c->api) >= API_STREAMS_MAX * 10) {\n", "api_server_test"),
    ("a client that waits is forgotten at the end", SERVER, "\t\tconn_complete(c, -1, &e); /* may close it */\n", "\t\tconn_close(c);\n", "api_pause_test"),
    ("a client is answered for another's request", SERVER, "!c || c->mode != CONN_WAITS || c->later.task != task", "!c || c->mode != CONN_WAITS || !task", "api_snapshot_test"),
    ("the eleventh client is let in", SERVER, "\tif (i == API_CONNECTIONS_MAX) {\n\t\tturn_away(fd);\n\t\treturn;\n\t}\n",
     "\tif (i == API_CONNECTIONS_MAX)\n\t\ti--;\n", "api_server_test"),
    ("without descriptors the loop spins", SERVER, "\tif (error && error != EAGAIN)\n\t\tpause_accepting(api);\n", "\t(void)pause_accepting;\n", "api_server_test"),
    ("\"Connection: close\" is ignored", CONN, "\tc->close |= !http->keep_alive;\n", "\tc->close |= !http;\n", "api_server_test"),

    # ------------------------------------------------------------------- routes
    ("a request for a running guest is taken before it runs", ROUTES, "\tif (route->when == ANY || (route->when >= POST) == started)\n",
     "\tif (route->when == ANY || route->when == POST || !started)\n", "api_routes_test"),
    ("a request before the start is taken after it", ROUTES, "\tif (route->when == ANY || (route->when >= POST) == started)\n", "\tif (route->when != POST || started)\n",
     "api_routes_test"),
    ("an id may be a path", ROUTES, "\t\tif (!isalnum((unsigned char)id[i]) && id[i] != '_')\n", "\t\tif (!id[i])\n", "api_routes_test"),
    ("an id overruns its buffer", ROUTES, "\tif (len > VM_ID_MAX)\n\t\treturn err_set(e, \"the ID", "\tif (len > 4 * VM_ID_MAX)\n\t\treturn err_set(e, \"the ID", "api_routes_test"),
    ("a path matches what it begins with", ROUTES, "(n != token_len(path) || strncmp(pattern, path, n) != 0)", "(n > token_len(path) || strncmp(pattern, path, n) != 0)",
     "api_paths_test"),
    ("a GET may have a body", ROUTES, "\tif (method == GET && body)\n", "\tif (method == DEL && body)\n", "api_routes_test"),
    ("a PUT without a body is taken", ROUTES, "\tif ((method == PUT || method == PATCH) && !body &&\n", "\tif ((method == GET) && !body &&\n", "api_routes_test"),
    ("a snapshot is loaded over a configuration", ROUTES, "\tif (!r && route->when == BOOT)\n", "\tif (!r && route->when == POST)\n", "api_snapshot_test"),
    ("it starts twice", HANDLERS, "\tif ((action == ACTION_INSTANCE_START) == started)\n", "\tif (action != ACTION_INSTANCE_START && !started)\n", "api_routes_test"),
    ("it starts without a kernel", HANDLERS, "\tif (!in->config.kernel)\n", "\tif (!in->config.vcpu_count)\n", "api_routes_test"),

    # -------------------------------------------------------- the client's half
    ("an answer may be of any length", CLIENT, "\tif (body->len + len > CLIENT_BODY_MAX) {\n", "\tif (body->len + len > 3ull * CLIENT_BODY_MAX) {\n", "client_test"),
    ("an answer's head may be of any length", CLIENT, "\tif (call->overhead > OVERHEAD_MAX)\n", "\tif (call->overhead > 1000ull * OVERHEAD_MAX)\n", "client_test"),
    ("\"100 Continue\" is the answer", CLIENT, "\tif (parser->status_code < 200)\n", "\tif (parser->status_code < 100)\n", "client_test"),
    ("half an answer is one", CLIENT, "\tif (call->failed || call->complete)\n\t\treturn call->failed ? -1 : 0;\n", "\tif (call->failed || call->complete || call->has_head)\n\t\treturn call->failed ? -1 : 0;\n",
     "client_test"),
    ("a client waits for ever", CLIENT, "(int)min_u64(call->deadline_ms - now, INT_MAX)", "(int)min_u64(UINT64_MAX - now, INT_MAX)", "client_test"),
    ("a path may have a line's end", CLIENT, "\t\tif ((unsigned char)*c <= ' ' || *c == 0x7f)\n", "\t\tif (*c == ' ')\n", "client_test"),
    ("a live VMM's socket is taken over", LISTENER, "\treturn fail(r ? -r : EADDRINUSE);\n", "\treturn r || owner ? 0 : fail(EADDRINUSE);\n", "listener_test"),
    ("another's socket is removed at the end", LISTENER, "\t    st.stx_ino == name->ino)\n", "\t    st.stx_ino)\n", "listener_test"),

    # ------------------------------------------------------ JSON, configuration
    ("a key may be there twice", JSON, "json_loadb(text, len, JSON_REJECT_DUPLICATES, &why)", "json_loadb(text, len, 0, &why)", "json_test"),
    ("a number below zero is a large one", JSON, "\tif (n < 0 || (f->max", "\tif ((f->max", "json_test"),
    ("a field nobody knows is ignored", JSON, "\t\t\tif (strict)\n", "\t\t\tif (strict && !count)\n", "json_test"),
    ("an unknown section is fatal", JSON, "\t\t\tif (strict)\n", "\t\t\tif (strict || count)\n", "config_file_test"),
    ("places are one byte early", PLACE, "line, w.at - start)", "line, w.at - start - 1)", "json_test"),
    ("the place of a member is that of another object's", PLACE, "\tif (!same || top(w) != w->object)\n", "\tif (!same)\n", "json_test"),
    ("a quote ends a string although it is escaped", PLACE, "source.text[w->at] == '\\\\' ? 2 : 1", "source.text[w->at] == '\\\\' ? 1 : 1", "json_test"),
    ("lines of metrics have what Firecracker has not", "core/base/metrics.c", "\tprint_all(out, true, THEIRS);\n", "\tprint_all(out, true, THEIRS | OURS);\n", "metrics_sink_test"),
    ("firecracker_only is ignored", "core/base/metrics.c", "\tif (!extras)\n\t\treturn;\n", "\t(void)extras;\n", "metrics_sink_test"),
    ("the sum of a latency is never reset", "core/base/metrics.c", "== METRIC_GAUGE ? v", "!= METRIC_COUNTER ? v", "metrics_sink_test"),
    ("SIGHUP is what it dies of", "vmm/cli/signals.c", "{SIGHUP, 156, ", "{SIGHUP, 0, ", "signals_test"),
    ("a fault is taken for a request", "vmm/cli/signals.c", "\tif (info->si_code > 0 && asking", "\tif (info->si_code > 99 && asking", "signals_test"),
    ("a field that must be there may be null", JSON, "(!value || json_is_null(value)))", "!value)", "json_test"),
    ("the root drive is not the first", CONFIG, "\t\tif (!root.root)\n", "\t\tif (root.root)\n", "api_devices_test"),
    ("there may be two root drives", CONFIG, "\t\tif (config->drive[i].root && &config->drive[i] != old)\n", "\t\tif (config->drive[i].root && !old && i > 63)\n", "api_devices_test"),
    ("there may be any number of drives", CONFIG, "\t\tif (config->drive_count == VM_DRIVES_MAX)\n", "\t\tif (config->drive_count == 1000)\n", "config_test"),
    ("two interfaces have the same address", CONFIG, "!memcmp(mac, other->net.mac, sizeof(other->net.mac)))\n", "!memcmp(mac, other->net.mac + 1, sizeof(other->net.mac) - 1))\n", "config_test"),
    ("a command line may have a line's end", CONFIG, "\t\tif (*c < ' ' || *c > '~')\n\t\t\treturn err_set(e,\n\t\t\t\t       \"the kernel", "\t\tif (*c > '~')\n\t\t\treturn err_set(e,\n\t\t\t\t       \"the kernel",
     "config_test"),
    ("arguments are added behind init's", CONFIG, "strstr(given, \" -- \");\n", "strstr(given, \" --- \");\n", "config_test"),
    ("a command line is cut", CONFIG, "\tif (n < 0 || (size_t)n > max)\n", "\tif (n < 0)\n", "config_test"),
    ("a guest may have no vCPU", CONFIG, "config->vcpu_count < 1 || config->vcpu_count > ARCH_VCPUS_MAX", "config->vcpu_count > ARCH_VCPUS_MAX", "config_test"),
    ("a loaded id may be empty", CONFIG, "\t\tif (vm_config_check_id(d->block.id, e))\n", "\t\tif (!d->block.id && vm_config_check_id(d->block.id, e))\n", "config_state_test"),
    ("a mode of files may be any number", BODIES, "strtoul(text, NULL, 8) > 0777 || !strtoul(text, NULL, 8)", "!strtoul(text, NULL, 8)", "snapshot_bodies_test"),

    # ------------------------------------------------------------------ metrics
    ("half a line of metrics is followed by another line", SINK, "\tsink->rest = line;\n", "\tbuf_free(&line);\n", "metrics_sink_test"),
    ("metrics that found no room are lost", SINK, "\tmetrics_told();\n\tsink->rest", "\tsink->rest", "metrics_sink_test"),
    ("metrics are written once", SINK, "\t\t.it_interval.tv_sec = PERIOD_S,\n", "", "metrics_sink_test"),
]
