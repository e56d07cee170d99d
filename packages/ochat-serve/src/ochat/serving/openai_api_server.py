"""OpenChat's published serving command; see `ochat_serve.legacy`."""

from ochat_serve.legacy import main

raise SystemExit(main())
