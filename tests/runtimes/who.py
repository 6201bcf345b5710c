#!/usr/bin/env python3
"""who.py PORT - what `who` is for the web, for datagrams: Debian's busybox has no server of them."""

import socket
import sys

server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", int(sys.argv[1])))
while True:
    _, asker = server.recvfrom(1500)
    server.sendto(f"{socket.gethostname()} {asker[0]}\n".encode(), asker)
