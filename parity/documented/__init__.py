"""What the documentation says, as data of our own: plain files beside this one, one for each subject."""
