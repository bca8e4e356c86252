# Starts the broker with a limit for its files that the volume has room for, and beside it what ends it when only a new start
# helps: Docker starts none again for being unhealthy. A volume too small for the streams is refused here, where the reason can be said.
set -eu

asked_mib=${HEARTHMIND_NATS_FILES_MIB:-8192}
needed_mib=7808  # what the file streams of flow.py and the buckets of files may grow to, together
reserve_percent=10  # of the volume stays free

free_mib=$(df -Pk /data | awk 'NR == 2 { print int($4 / 1024) }')
ours_mib=$(du -sk /data | awk '{ print int($1 / 1024) }')
room_mib=$(((free_mib + ours_mib) * (100 - reserve_percent) / 100))

if [ "$room_mib" -lt "$needed_mib" ] || [ "$asked_mib" -lt "$needed_mib" ]; then
  echo "nats: the streams may grow to $needed_mib MiB; the volume has room for $room_mib MiB and" \
    "HEARTHMIND_NATS_FILES_MIB allows $asked_mib MiB. Give the volume nats more room, or raise the setting." >&2
  exit 78
fi
[ "$asked_mib" -lt "$room_mib" ] || asked_mib=$room_mib
export FILE_STORE_MAX_BYTES=$((asked_mib * 1024 * 1024))
sh /etc/hearthmind/watch.sh $$ /data http://nats-inside:8222/healthz &
exec nats-server --config /etc/hearthmind/nats.conf
