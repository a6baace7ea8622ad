"""Images scored with the champion."""
