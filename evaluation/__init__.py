"""What everyone measures with: labelled images and their splits, metrics with intervals, and the report page."""
