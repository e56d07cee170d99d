"""OpenChat's published data command; see `ochat_data.legacy_command`."""

from ochat_data.legacy_command import main

raise SystemExit(main())
