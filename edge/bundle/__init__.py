"""The bundle: a sealed folder with all that a slide needs. Only verified bytes ever leave it."""
