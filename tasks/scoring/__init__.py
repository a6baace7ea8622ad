"""Pictures from people, scored with the champion."""
