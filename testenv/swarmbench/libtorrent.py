"""One peer of a swarm with libtorrent; prints "done" when it has the file.

usage: peer.py seed|fetch LISTEN TORRENT DIR PEER...
"""

import sys

import libtorrent as lt

role, listen, torrent, directory, *peers = sys.argv[1:]

session = lt.session({
    "listen_interfaces": listen,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
    # A private swarm over TCP.
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    # All peers are known and of the same kind: connect to all at once, and
    # again at once. Serve many at a time.
    "connections_limit": 500,
    "connection_speed": 500,
    "torrent_connect_boost": 255,
    "min_reconnect_time": 1,
    "max_failcount": 100,
    "unchoke_slots_limit": -1,
    "close_redundant_connections": True,
    # Requests for at most a second, and no block asked for twice before the
    # end, so that little is fetched in vain.
    "request_queue_time": 1,
    "strict_end_game_mode": True,
    "suggest_mode": 0,
})

params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = directory
params.storage_mode = lt.storage_mode_t.storage_mode_sparse
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if role == "seed":
    params.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.super_seeding
params.peers = [(host, int(port)) for host, port in (peer.rsplit(":", 1) for peer in peers)]
handle = session.add_torrent(params)

while True:
    session.wait_for_alert(60_000)
    for alert in session.pop_alerts():
        print(alert, file=sys.stderr, flush=True)
        if isinstance(alert, lt.torrent_finished_alert) and role == "fetch":
            print("done", flush=True)
            handle.flush_cache()
