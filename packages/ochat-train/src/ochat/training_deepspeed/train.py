"""OpenChat's published training command; see `ochat_train.legacy_command`."""

from ochat_train.legacy_command import main

raise SystemExit(main())
