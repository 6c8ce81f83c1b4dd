#!/usr/bin/env bash
# A one-node Ceph RGW on loopback, as a second S3 server to run the tests on. Objects live in memory and are gone at stop.
#
#   PORT=7480 DATA=/tmp/rgw ACCESS_KEY=test SECRET_KEY=testsecret .ci/rgw.sh start
#   DATA=/tmp/rgw .ci/rgw.sh stop
#
# Ports: PORT answers S3; PORT+1 up to PORT+40 are the cluster's own.
set -euo pipefail

PORT=${PORT:-7480}
DATA=$(realpath -m "${DATA:-${TMPDIR:-/tmp}/rgw}")
ACCESS_KEY=${ACCESS_KEY:-test}
SECRET_KEY=${SECRET_KEY:-testsecret}
CONF=$DATA/ceph.conf
MARK='# made by .ci/rgw.sh'

fail () { echo "rgw.sh: $*" >&2; exit 1; }

check_tools () {
  local tool
  for tool in ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool ceph-authtool; do
    command -v "$tool" >/dev/null ||
      fail "$tool is missing: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd"
  done
}

# Ceph's defaults suit hundreds of disks; these let three daemons on one machine start in about two seconds.
write_conf () {
  cat >"$CONF" <<CONF
$MARK
[global]
fsid = $1
mon host = [v2:127.0.0.1:$((PORT + 1))/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind port min = $((PORT + 2))
ms bind port max = $((PORT + 40))
keyring = $DATA/keyring
auth allow insecure global id reclaim = false
run dir = $DATA
admin socket =
log file = $DATA/\$name.log
crash dir = $DATA
mon cluster log file = $DATA/cluster.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
[mon]
mon data = $DATA/mon
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.01
paxos min wait = 0.005
[osd]
osd data = $DATA/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class update on start = false
# S3 keys have up to 1,024 bytes
osd max object name len = 2048
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw dns name = localhost
rgw thread pool size = 32
rgw num rados handles = 1
rgw rados pool pg num min = 1
rgw override bucket index max shards = 1
rgw dynamic resharding = false
rgw run sync thread = false
# A topic whose endpoint carries a password must be made over TLS: the tests say that they do
rgw trust forwarded https = true
objecter tick interval = 0.2
CONF
}

# A daemon in a session of its own, so that it outlives this shell; its id is kept for stop.
launch () {
  local name=$1; shift
  setsid "$@" >>"$DATA/$name.out" 2>&1 </dev/null &
  echo $! >"$DATA/$name.pid"
}

# The id may have gone to another process since.
is_running () {
  local id; id=$(cat "$DATA/$1.pid" 2>/dev/null) || return 1
  { tr '\0' ' ' <"/proc/$id/cmdline"; } 2>/dev/null | grep -qF "$CONF"
}

wait_for_http () {
  local _
  for _ in $(seq 1200); do
    # Not is_running: for a moment the process still is this shell, under another name.
    kill -0 "$(cat "$DATA/rgw.pid")" 2>/dev/null || fail "radosgw ended: $(tail -n 3 "$DATA/rgw.out")"
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && head -c 5 <&3 | grep -q HTTP) 2>/dev/null && return
    sleep 0.05
  done
  fail "no answer on port $PORT after a minute"
}

stop () {
  local name _
  for name in rgw osd mon; do
    is_running "$name" || continue
    kill "$(cat "$DATA/$name.pid")"
    for _ in $(seq 60); do is_running "$name" || break; sleep 0.05; done
    is_running "$name" && kill -KILL "$(cat "$DATA/$name.pid")"
  done
  # Only a folder that this script filled is deleted.
  if grep -qsF "$MARK" "$CONF"; then rm -rf "$DATA"; fi
}

start () {
  check_tools
  (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "port $PORT is taken"
  if grep -qsF "$MARK" "$CONF"; then stop; fi
  [ -z "$(ls -A "$DATA" 2>/dev/null)" ] || fail "DATA=$DATA holds other files"
  mkdir -p "$DATA/mon" "$DATA/osd"
  trap 'code=$?; if [ $code != 0 ]; then tail -n 3 "$DATA"/*.out >&2 || true; stop; fi' EXIT

  local fsid osd_id entity create=--create-keyring
  fsid=$(cat /proc/sys/kernel/random/uuid)
  osd_id=$(cat /proc/sys/kernel/random/uuid)
  write_conf "$fsid"
  monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$((PORT + 1))/0]" "$DATA/monmap" >/dev/null
  for entity in mon. client.admin client.rgw osd.0; do
    ceph-authtool "$DATA/keyring" ${create:+"$create"} --gen-key -n "$entity" --cap mon 'allow *' --cap osd 'allow *' >/dev/null
    create=
  done
  ceph-mon -c "$CONF" -i a --mkfs --monmap "$DATA/monmap" --keyring "$DATA/keyring"
  launch mon ceph-mon -c "$CONF" -i a -f
  timeout 30 ceph -c "$CONF" osd new "$osd_id" 0 >/dev/null
  ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$osd_id" >>"$DATA/osd.out" 2>&1
  launch osd ceph-osd -c "$CONF" -i 0 -f
  launch rgw radosgw -c "$CONF" -n client.rgw -f
  wait_for_http
  radosgw-admin -c "$CONF" -n client.rgw user create --uid test --display-name test \
    --access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY" >/dev/null 2>>"$DATA/admin.out"
  echo "S3 answers on http://127.0.0.1:$PORT"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) fail 'usage: rgw.sh start | stop' ;;
esac
