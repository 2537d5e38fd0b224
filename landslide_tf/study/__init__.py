"""The paper's comparison: experiments as data, run one process each, reported from run folders."""
