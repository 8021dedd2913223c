/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/verbs.h"

/* Handlers and options of the rows in main.c, by the file that has them. */

/* verb-sandbox.c */
extern const Option create_options[], list_options[], status_options[], limits_options[];
int verb_create(Ctl *c, char **words);
int verb_list(Ctl *c, char **words);
int verb_status(Ctl *c, char **words);
int verb_kill(Ctl *c, char **words);
int verb_pause(Ctl *c, char **words);
int verb_resume(Ctl *c, char **words);
int verb_renew(Ctl *c, char **words);
int verb_limits(Ctl *c, char **words);

/* verb-exec.c */
extern const Option exec_options[], run_options[];
int verb_exec(Ctl *c, char **words);
int verb_run(Ctl *c, char **words);

/* verb-code.c */
extern const Option git_options[], run_code_options[];
int verb_env(Ctl *c, char **words);
int verb_git(Ctl *c, char **words);
int verb_run_code(Ctl *c, char **words);

/* verb-terminal.c */
extern const Option shell_options[];
int verb_shell(Ctl *c, char **words);
int verb_attach(Ctl *c, char **words);

/* verb-logs.c */
extern const Option logs_options[], ps_options[];
int verb_logs(Ctl *c, char **words);
int verb_ps(Ctl *c, char **words);

/* verb-queue.c */
extern const Option queue_options[];
int verb_queue(Ctl *c, char **words);

/* verb-event.c */
extern const Option events_options[], metrics_options[], trace_options[];
int verb_events(Ctl *c, char **words);
int verb_metrics(Ctl *c, char **words);
int verb_trace(Ctl *c, char **words);

/* verb-webhook.c */
extern const Option webhook_options[];
int verb_webhook(Ctl *c, char **words);

/* verb-file.c */
extern const Option cp_options[], watch_options[];
int verb_cp(Ctl *c, char **words);
int verb_watch(Ctl *c, char **words);

/* verb-system.c */
extern const Option images_options[];
int verb_images(Ctl *c, char **words);
int verb_version(Ctl *c, char **words);

/* verb-template.c */
int verb_network(Ctl *c, char **words);

/* verb-egress.c */
int verb_egress(Ctl *c, char **words);
extern const Option template_options[];
int verb_template(Ctl *c, char **words);

/* verb-snapshot.c */
extern const Option clone_options[];
int verb_clone(Ctl *c, char **words);
int verb_fork(Ctl *c, char **words);
int verb_restore(Ctl *c, char **words);
int verb_snapshot(Ctl *c, char **words);

/* verb-alert.c */
int verb_alert(Ctl *c, char **words);
int verb_worker(Ctl *c, char **words);

/* verb-open.c */
extern const Option open_options[];
int verb_open(Ctl *c, char **words);

/* verb-port.c */
int verb_port(Ctl *c, char **words);

/* verb-volume.c */
extern const Option volume_options[];
int verb_volume(Ctl *c, char **words);

/* verb-top.c */
extern const Option top_options[];
int verb_top(Ctl *c, char **words);

/* verb-configure.c */
extern const Option configure_options[];
int verb_configure(Ctl *c, char **words);

/* verb-doctor.c */
int verb_doctor(Ctl *c, char **words);
