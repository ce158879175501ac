#!/bin/sh
# The first process of a guest (tests/faults/guest.py): a worker under a kernel of its own. Orders come by the console,
# one a line; each is answered by a line in the file ANSWERS, by "failed" when it could not be done. The words in capitals
# come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm 2>/dev/null || { mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm; }
hostname "$NAME"
ip link set lo up
ip address add "$ADDRESS" dev vec0
ip link set vec0 up

clocks() { read -r up rest </proc/uptime; echo "$1 $(date +%s.%N) $up"; }
left() { grep -lsz '^ECTS_RUN_ID=' /proc/[0-9]*/environ | wc -l; }

# The true time, as long as nobody has set the clock.
clocks boot >>"$ACCOUNT"

cd "$ROOT" || exit 1
env -i PATH="$PATH" LANG=C.UTF-8 "$PYTHON" -m workers.engine --state-dir "$STATE" --session-ttl "$TTL" --grace 3 \
    >>"$LOG" 2>&1 &
worker=$!
clocks started >>"$ANSWERS"

while read -r order value; do
    case $order in
    clock)
        date -s "$value seconds" >/dev/null || {
            echo "failed $order $value" >>"$ANSWERS"
            continue
        }
        ;;
    kill) kill -9 $worker ;;
    off)
        kill -TERM $worker
        wait $worker
        echo "left $(left)" >>"$ANSWERS"
        halt -f -p
        ;;
    esac
    clocks "$order" >>"$ANSWERS"
done
