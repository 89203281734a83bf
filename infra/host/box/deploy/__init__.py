"""terrace-deploy: takes up a release, switches to it without losing a request, and goes back when it fails.

    main -> engine -> ports (units, proxy, health, releases, database, memory) -> systemd, Nginx, S3, /proc

What serves is written down in one file, and only after it has passed its soak; whatever ends a deploy early, a fault,
a kill or a power cut, the box is brought back to what that file says (`engine.settle`), and then goes on.
"""
