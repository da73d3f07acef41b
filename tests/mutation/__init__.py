"""Does a vector notice?  Each check of the verifying code is taken out, one at a time, and the vectors are run."""
