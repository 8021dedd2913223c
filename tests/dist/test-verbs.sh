#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every verb of sandboxctl against a stand-in for the server, with the statuses and lines it must end with.
#   test-verbs.sh SANDBOXCTL
# shellcheck disable=SC2016 # words of other shells are not for this one
set -euo pipefail
program=$1
here=$(cd "$(dirname "$0")" && pwd)

command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
work=$(mktemp -d)
coproc SERVER { exec python3 "$here/fake-server.py" "$work/server"; }
server=$SERVER_PID
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/server"
read -r -t 20 ready port <&"${SERVER[0]}"
[ "$ready" = ready ]

unset III_SANDBOX_URL III_SANDBOX_TOKEN III_API_PREFIX
failed=0 status=0

ctl() {
    "$program" --socket "$work/server/socket" "$@"
}

# run WORD...: stdout, stderr and status for the checks that follow
run() {
    status=0
    ctl "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    what=$*
}

fail() {
    echo "FAILED: $what: $1"
    sed 's/^/  stdout: /' "$work/out"
    sed 's/^/  stderr: /' "$work/err"
    failed=1
}

ends() {
    [ "$status" = "$1" ] || fail "ended with $status, wanted $1"
}

prints() {
    grep -qE -- "$1" "$work/out" || fail "no '$1' on stdout"
}

says() {
    grep -qE -- "$1" "$work/err" || fail "no '$1' on stderr"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "not one line on stderr"
}

is_json() {
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/out" || fail "no JSON on stdout"
}

# Sandboxes
run create python --name one --memory 1G --cpu 1.5 --timeout 5min --env A=b --metadata k=v --network
ends 0
prints '^sbx_[0-9a-f]{24}$'
one=$(cat "$work/out")
run status "$one" --json
ends 0; is_json
prints '"memory": 1024'; prints '"timeout": 300'; prints '"A": "b"'; prints '"k": "v"'; prints '"network": true'
prints '"cpuPercent": 12.5'
run status one
ends 0; prints 'Name: one'; prints 'Memory: 20M of 512M'; prints 'Expires: .*in (4min 5|5min)'
run create python --name 'two'
two=$(cat "$work/out")
for i in 3 4 5; do
    run create python --name "n$i"
done
run list -q
ends 0
[ "$(wc -l <"$work/out")" = 5 ] || fail "not all pages were listed"
run list
ends 0; prints '^ID +NAME +IMAGE +STATUS +CREATED +EXPIRES$'; prints "^$one +one +python +running +[^ ]+.* in "
run list --json
ends 0; is_json; prints '"total": 5'
run pause "$one" "$two"
ends 0
run pause "$one"
ends 6; says "^sandboxctl: pause: $one: Sandbox is not running: paused$"
run list --status paused -q
[ "$(wc -l <"$work/out")" = 2 ] || fail "status filter"
run resume "${one:0:20}"
ends 0
run resume two
ends 0
run renew one 2h
ends 0; prints 'in (1h 59min|2h)'
run renew one soon
ends 2
run limits one --memory 2G --pids 99
ends 0
run status one --json
prints '"memory": 2048'; prints '"pids": 99'
run limits one
ends 2
run status n
ends 4; says 'no sandbox has this id or name'
run status sbx_
ends 6; says '5 sandboxes'
run status sbx_000000000000000000000000
ends 4; says '^sandboxctl: status: sbx_0+: Sandbox not found'
run kill n3 nosuch n4
ends 4; says 'nosuch'
run list -q
[ "$(wc -l <"$work/out")" = 3 ] || fail "kill stopped at a failure"

# What was asked for is not always what there is
run create python --name much --memory 9G --cpu 1.5
ends 0; says '^sandboxctl: create: memory: 4096 MiB instead of 9216$'
much=$(cat "$work/out")
run create python --name much --cpu 0.5
ends 0
[ ! -s "$work/err" ] || fail "it warns of what was granted"
run status much
ends 6; says "2 sandboxes .*, sbx_[0-9a-f]{24} is one; see sandboxctl list"
run kill "$much"
ends 0
run kill much
ends 0
run restore one good --json
ends 0; prints '"image": "snap_1{24}"'
run restore one snap_333333333333333333333333
ends 0
run restore one same
ends 6; says '2 snapshots have this name, snap_[23]{24} is one'
run restore one nosuch
ends 4; says 'no snapshot of sbx_'
run snapshot delete nosuch
ends 2; says 'see sandboxctl snapshot list'

# Programs are of the language that their names say
for row in a.py:python b.sh:bash c.js:javascript d.ts:typescript e.go:go f:python; do
    echo : >"$work/${row%:*}"
    run run-code one "$work/${row%:*}"
    ends 0; prints "^${row#*:}$"
done
run run-code one --language bash "$work/a.py"
ends 0; prints '^bash$'
run env set one NOT_SET_ANYWHERE
ends 2; says 'NOT_SET_ANYWHERE has no value here to take, say NOT_SET_ANYWHERE=VALUE'

# Errors and their statuses
run create limit
ends 7; says 'Maximum sandbox limit reached'
run create forbidden
ends 5
run create broken
ends 8
run create $'bad\nimage'
ends 1; says 'Invalid\\nimage \\x1b\[31mname'
run create python --env novalue-
ends 2
run crate python
ends 2; says "did you mean 'create'"
run create --memroy 1 python
ends 2; says "did you mean '--memory'"
run create
ends 2; says 'which image, or --template'
run status
ends 2; says 'too few'
run create python --memory lots
ends 2

# Commands
what="exec, streams apart"
ctl exec one -- sh -c 'echo out; echo err >&2; exit 42' >"$work/out" 2>"$work/err" </dev/null && status=0 || status=$?
ends 42; prints '^out$'; says '^err$'
run exec one --cwd /tmp --env X=y sh -c 'pwd; echo $X'
ends 0; prints '^/tmp$'; prints '^y$'
run exec one --user 7:8 sh -c 'echo $USER_WANTED'
ends 0; prints '^7:8$'
run exec one sh -c 'kill -9 $$'
ends 137
run exec one --timeout 1 sleep 30
ends 124
run exec one no-such-command-here
ends 127; says '^sandboxctl: exec: no-such-command-here: .*cannot be run'
run exec one /dev/null
ends 126
run exec one --env LOSE_THE_SANDBOX=1 true
ends 125; says 'ended with its sandbox'
run exec nosuch true
ends 125; says 'no sandbox has this id or name'
run exec one --env LOSE_THE_STREAM=1 true
ends 125; says 'ended before the command did'
run exec --bad one true
ends 125
what="exec, binary output"
ctl exec one -- head -c 300000 /dev/urandom >"$work/random" </dev/null
[ "$(stat -c %s "$work/random")" = 300000 ] || fail "lost bytes"
what="exec, input"
ctl exec one -- cat <"$work/random" >"$work/out2"
cmp "$work/random" "$work/out2" || fail "input differs"
{ echo a; ctl exec one -- true </dev/null; echo b; } | ctl exec one -- cat >"$work/out"
printf 'a\nb\n' | cmp - "$work/out" || fail "input of a pipe differs"
what="exec, input closed early"
ctl exec one -- head -n 1 < <(yes 2>/dev/null) >"$work/out" 2>"$work/err" || fail "status $?"
[ ! -s "$work/err" ] || fail "said something"
what="exec, reader gone"
ctl exec one -- yes </dev/null 2>"$work/err" | head -n 1 >"$work/out" || true
[ ! -s "$work/err" ] || fail "said something"
what="exec, interrupted"
mkfifo "$work/fifo" "$work/never"
"$program" --socket "$work/server/socket" exec one -- sh -c 'trap "echo caught; exit 9" TERM; echo begun; while :; do read -r x <&3; done 3<>'"$work/fifo" \
    >"$work/out" 2>"$work/err" </dev/null &
client=$!
until grep -q begun "$work/out"; do read -r -t 0.05 <>"$work/never" || true; done
kill "$client"
wait "$client" && status=0 || status=$?
ends 9; prints caught
run exec one --json sh -c 'echo hi'
ends 0; prints '"type":"start"'; prints '"data":"hi'; prints '"type":"exit"'

run run python sh -c 'echo $0; exit 3'
ends 3; prints '^sh$'
run list -q
[ "$(wc -l <"$work/out")" = 3 ] || fail "run left its sandbox"
run run python --keep --name kept true
ends 0; says '^sbx_'
run kill kept
ends 0
what="run, a shell"
echo 'echo from the shell' | ctl run python >"$work/out"
prints '^from the shell$'
run run limit true
ends 125

run exec -d one -- sh -c 'echo first; read -r x <>'"$work/fifo"'; echo second; printf "\377"'
ends 0; prints '^bg_[0-9a-f]{24}$'
bg=$(cat "$work/out")
ctl logs -f "$bg" >"$work/log" 2>&1 &
client=$!
until grep -q first "$work/log"; do read -r -t 0.05 <>"$work/never" || true; done
echo >"$work/fifo"
wait "$client" || { what="logs -f"; fail "status $?"; }
printf 'first\nsecond\n\377' | cmp - "$work/log" || { what="logs -f"; fail "output differs"; }
run logs bg_000000000000000000000000
ends 4
# Jobs
run queue submit one --max-retries 2 --env A=b -- sh -c 'exit 0'
ends 0
prints '^job_[0-9a-f]{24}$'
job=$(cat "$work/out")
run queue status "$job"
ends 0; prints 'Status: completed'; prints 'Failures: 0 of 2'; prints 'Exit code: 0'
run queue status "$job" --json
ends 0; is_json; prints '"maxRetries": 2'
run queue --wait submit one -- echo hello
ends 0; prints '^hello$'
run queue --wait submit one -- false
ends 1; says 'the command ended with status 1'
run queue --wait submit one -- sh -c 'exit 99'
ends 1; says 'failed: no luck'
run queue list -q
ends 0
[ "$(wc -l <"$work/out")" = 4 ] || fail "not all pages were listed"
run queue list --sandbox one --status failed
ends 0; prints '^ID +SANDBOX +STATUS +FAILURES +CREATED +COMMAND OR ERROR$'; prints ' failed +1/3 .* no luck$'
run queue dlq -q
ends 0
dead=$(cat "$work/out")
run queue cancel "$dead"
ends 6; says 'Job is not pending: failed'
run queue purge "$job"
ends 0; prints '^0$'
run queue requeue --wait "$dead"
ends 0; prints '^again$'
run queue purge
ends 0; prints '^0$'
run queue status job_000000000000000000000000
ends 4; says 'Queue job not found'
run queue status one
ends 2; says "'one' is not the id of a job"
run queue status
ends 2; says "too few arguments for 'status'"
run queue frob
ends 2; says "unknown action 'frob'"

what="logs of a sandbox"
ctl logs one --tail 5 >"$work/out" 2>"$work/err"
prints '^tail 5$'; says '^warn$'

run ps one
ends 0; prints 'evil\\x1b\[2J\\nname'
run ps -q one
ends 0; prints '^7$'
run ps -l one
ends 0; prints '1M +2M +sh$'
run images
ends 0; prints '^python\* +host +/usr +yes$'; prints '^debian +tar .* no$'
run images -q
ends 0; prints '^python\*$'
! grep -q debian "$work/out" || fail "named one that cannot be used"
run images --json
ends 0; is_json
run version
ends 0; prints '^sandboxctl [0-9]'

# Files
run cp "$work/random" one:/data/random
ends 0
cmp "$work/random" "$work/server/files/data/random" || fail "content differs"
run cp one:/data/random "$work/back"
ends 0
cmp "$work/random" "$work/back" || fail "content differs"
chmod 700 "$work/server/files/data/random"
run cp one:/data/random "$work/back"
[ "$(stat -c %a "$work/back")" = 700 ] || fail "mode"
run cp one:/data/random -
cmp "$work/random" "$work/out" || fail "content differs"
run cp "$work/random" one:/outside/random
ends 0
run cp one:/outside/random "$work/back"
ends 0
cmp "$work/random" "$work/back" || fail "content differs"
# Connections that break, each after two MiB
head -c 9M /dev/urandom >"$work/large"
chmod 711 "$work/large"
run cp "$work/large" one:/data/cut
ends 0
cmp "$work/large" "$work/server/files/data/cut" || fail "content differs"
[ "$(stat -c %a "$work/server/files/data/cut")" = 711 ] || fail "mode"
run cp one:/data/cut "$work/back"
ends 0
cmp "$work/large" "$work/back" || fail "content differs"
[ "$(stat -c %a "$work/back")" = 711 ] || fail "mode"
what="cp to the end of a file"
printf before >"$work/behind"
ctl cp one:/data/cut - >>"$work/behind"
cmp <(cat <(printf before) "$work/large") "$work/behind" || fail "content differs"
# A server that takes files only as a whole
run cp "$work/large" one:/data/whole
ends 0
cmp "$work/large" "$work/server/files/data/whole" || fail "content differs"
what="cp from stdin"
ctl cp - one:/data/piped <"$work/random"
cmp "$work/random" "$work/server/files/data/piped" || fail "content differs"
printf x | ctl cp - one:/data/piped
[ "$(cat "$work/server/files/data/piped")" = x ] || fail "content differs"
mkdir -p "$work/tree/sub/deep"
echo 1 >"$work/tree/a b&c=%"
echo 2 >"$work/tree/sub/deep/two"
chmod 750 "$work/tree/sub/deep/two"
ln -s two "$work/tree/sub/deep/link"
run cp "$work/tree" one:/data
ends 2; says 'is a directory'
what="cp -r up"
ctl cp -r "$work/tree" one:/data >"$work/out" 2>"$work/err"
says 'link: neither'
[ "$(cat "$work/server/files/data/tree/a b&c=%")" = 1 ] || fail "odd name"
[ "$(stat -c %a "$work/server/files/data/tree/sub/deep/two")" = 750 ] || fail "mode"
ln -s /etc/passwd "$work/server/files/data/tree/sub/secret"
what="cp -r down"
ctl cp -r one:/data/tree "$work/copied" 2>"$work/err"
says 'a link, left out'
[ "$(cat "$work/copied/sub/deep/two")" = 2 ] || fail "content"
[ -x "$work/copied/sub/deep/two" ] || fail "mode"
[ ! -e "$work/copied/sub/secret" ] || fail "followed a link"
rm -r "$work/copied"
what="cp -r beyond the workspace"
ctl cp -r "$work/tree/sub" one:/outside/deep/sub >"$work/out" 2>"$work/err" || fail "status $?"
ctl cp -r one:/outside/deep "$work/copied" >"$work/out" 2>"$work/err" || fail "status $?"
[ "$(cat "$work/copied/sub/deep/two")" = 2 ] || fail "content"
mkdir "$work/server/files/evil"
run cp -r one:/evil "$work/evil"
ends 1; says 'cannot be named here'
run cp one:/nosuch "$work/nosuch"
ends 4
[ ! -e "$work/nosuch" ] || fail "left a file"
run cp "$work/nosuch" one:/x
ends 4
run cp "$work/random" "$work/back"
ends 2
run cp "$work/random" "$work/back" one:/many/
ends 0
[ -e "$work/server/files/many/back" ] || fail "several files"

run watch one /tmp
ends 0; prints '^created     /tmp/\\x1b\[31m$'; prints '^moved       /a -> /b$'
run watch one --recursive --json
ends 0; prints '"path":"true"'

# Templates, alerts, workers
run template list
ends 0; prints '^tpl_one +one +python +d$'
run template create small python --memory 128 --env A=b --description 'for all'
ends 0; prints '^tpl_[0-9a-f]{24}$'
run template show small
ends 0; is_json; prints '"memory": 128'; prints '"A": "b"'; prints '"description": "for all"'
run create --template small --secret S=x --json
ends 0; prints '"template": "small"'; prints '"S": "x"'
run template delete small
ends 0
run template show small
ends 4; says 'no template has this id or name'
run template create small
ends 2; says 'wanted: template create NAME IMAGE'
run template forge
ends 2; says 'none of: '
run network create blue
ends 0; prints '^net_[0-9a-f]{24}$'
network=$(cat "$work/out")
run network connect blue one
ends 0
run network connect "$network" one
ends 6; says 'already connected'
run network list
ends 0; prints "^$network +blue +1$"
run network show blue
ends 0; is_json; prints '"sbx_'
run network disconnect blue one
ends 0
run network connect blue nosuch
ends 4
run network delete "$network"
ends 0
run network show blue
ends 4; says 'no network has this id or name'
run network create
ends 2; says 'wanted: network create NAME'
run alert set one memory 80 pause
ends 0; prints '^alrt_[0-9a-f]{24}$'
alert=$(cat "$work/out")
run alert set one memory much
ends 2; says "'much' is not a number"
run alert list one
ends 0; prints "^$alert +memory +80 +pause +yes +"
run alert history one
ends 0; prints "memory +93.25 +80 +pause +$alert"
run alert delete "$alert"
ends 0
run alert delete "$alert"
ends 4; says 'Alert not found'
run volume create store --size 64M
ends 0; prints '^vol_[0-9a-f]{24}$'
volume=$(cat "$work/out")
run volume attach store one /data --read-only
ends 0
run volume list
ends 0; prints "^$volume +store +.* +sbx_[0-9a-f]+ +/data$"
run volume show "$volume"
ends 0; is_json; prints '"readOnly": true'; prints '"size": "64M"'; prints '"used": 4096'
run volume delete store
ends 6; says 'Volume is attached'
run volume detach store
ends 0
run volume create store
ends 0
run volume show store
ends 6; says 'several volumes have this name'
run volume delete "$volume"
ends 0
run volume delete "$volume"
ends 4; says 'no volume has this id or name'

# Webhooks
run webhook create https://receiver.example/in 'sandbox.*' job.failed
ends 0; prints '^whk_[0-9a-f]{24}$'; prints '^whsec_made$'
hook=$(head -n 1 "$work/out")
run webhook list
ends 0; prints "^$hook +on +3 +1 +sandbox\.\*,job\.failed +https://receiver.example/in$"
run webhook test "$hook"
ends 0
run webhook disable "$hook"
ends 0
run webhook list
ends 0; prints "^$hook +off "
run webhook test "$hook"
ends 1; says 'the receiver answered 500'
run webhook enable "$hook"
ends 0
run webhook show "$hook"
ends 0; is_json; prints '"enabled": true'
run webhook deliveries "$hook" --status dead --lines 7
ends 0; prints ' dead +2 +a\.b +evt_1 +n=7$'
run webhook delete "$hook"
ends 0
run webhook show "$hook"
ends 4; says 'Webhook not found'
WORD=hunter2 run webhook create https://x.example --secret WORD --sandbox one --json
ends 0; is_json; prints '"secret": "hunter2"'; prints '"sandboxId": "sbx_'
run webhook create https://x.example --secret NO_SUCH_VARIABLE
ends 2; says 'the variable NO_SUCH_VARIABLE is not set'
run webhook create
ends 2; says 'wanted: webhook create URL'

run port expose one 8080
ends 0; prints '^18080$'
run port expose one 53/udp 5353
ends 0; prints '^5353$'
run port list one
ends 0; prints '^8080/tcp +18080 +active'; prints '^53/udp +5353 +active'
run port expose one 8080/sctp
ends 2; says "'8080/sctp' is not a port"
run open one 8080 --path /a --expires 10m
ends 0; prints '^http://127.0.0.1:3111/8080/a/600$'
run open one web
ends 2; says "'web' is not a port"
run port close one 8080
ends 0
run port close one 8080
ends 4; says 'Port 8080 is not exposed'
run worker list
ends 0; prints '^w1 +h1 +2 +50 +7 +'
run worker select
ends 0; prints '^w1$'
run worker reap
ends 0; prints '^expired: 3$'

# Tokens and addresses
url=http://127.0.0.1:$port
tcp() {
    status=0
    what=$*
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}
tcp "$program" --url "$url" list
ends 5; says 'Missing authorization.*--token-file'
III_SANDBOX_TOKEN=wrong tcp "$program" --url "$url" list
ends 5; says 'Invalid token.*not one of'
III_SANDBOX_URL=$url III_SANDBOX_TOKEN=secret tcp "$program" list
ends 0
echo secret >"$work/token"
tcp "$program" --url "$url/" --token-file "$work/token" list -q
ends 0
exec 9<"$work/token"
tcp "$program" --url "$url" --token-fd 9 list -q
ends 0
exec 9<&-
tcp "$program" --url "$url" --token-file "$work/no-token" list -q
ends 2
printf 'a\nHost: b\n' >"$work/token"
tcp "$program" --url "$url" --token-file "$work/token" list -q
ends 2
tcp "$program" --url ftp://x list
ends 2
tcp "$program" --socket "$work/none" list
ends 3; says 'no answer from .*systemctl start sandboxd.socket'
tcp "$program" --url http://127.0.0.1:1 list
ends 3; says 'no answer from .*is the address right'
: >"$work/not-a-socket"
tcp "$program" --socket "$work/not-a-socket" list
ends 3; says 'journalctl -u sandboxd.service'

# Configure
tcp "$program" configure --root "$work/root" --port 8080 --address 0.0.0.0 --allow 10.0.0.0/8
ends 0; says 'only with a token'
dropin=$work/root/etc/systemd/system/sandboxd.socket.d/50-listen.conf
for line in '^ListenStream=$' '^ListenStream=0.0.0.0:8080$' '^ListenStream=/run/sandboxd/api.sock$' \
            '^IPAddressAllow=10.0.0.0/8$'; do
    grep -qE "$line" "$dropin" || fail "no $line"
done
III_REST_PORT=4000 tcp "$program" configure --root "$work/root"
ends 0
grep -q '^ListenStream=\[::1\]:4000$' "$dropin" || fail "port of the environment"
tcp "$program" configure --root "$work/root" --address nowhere
ends 2; says "'nowhere' is no address"
tcp "$program" configure --root "$work/root" --new-token --label me
ends 0; prints '^[0-9a-f]{64}$'
grep -qx "$(cat "$work/out") me" "$work/root/etc/sandboxd/tokens" || fail "token is not in the file"
grep -qx 'LoadCredential=tokens:/etc/sandboxd/tokens' "$work/root/etc/systemd/system/sandboxd.service.d/50-tokens.conf" ||
    fail "the service does not load it"
[ "$(stat -c %a "$work/root/etc/sandboxd/tokens")" = 600 ] || fail "mode of the token file"
III_AUTH_TOKEN=hidden III_MAX_SANDBOXES=7 tcp "$program" configure --show
ends 0; prints '^III_MAX_SANDBOXES +7 +environment$'; prints '^III_AUTH_TOKEN +\(set\) +environment$'
! grep -q hidden "$work/out" || fail "shows a secret"
tcp "$program" doctor --json
is_json

exit $failed
