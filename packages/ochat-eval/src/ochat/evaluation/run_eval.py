"""OpenChat's published evaluation command; see `ochat_eval.legacy`."""

from ochat_eval.legacy import main

raise SystemExit(main())
