"""Opens a file in anndata and prints what the C tests compare: python3 check_anndata.py FILE EXPRESSION...

Each expression is evaluated with `a` = the AnnData, `np` = numpy, `read` = what reads another file; all must be true. Exit codes: 0 all
true, 1 some false, 77 anndata is not installed (Python itself ends with 2 where it finds no script)."""
import sys
import warnings

warnings.simplefilter("ignore")
try:
    import anndata
    import numpy as np
except ModuleNotFoundError:
    sys.exit(77)

read = anndata.read_h5ad
a = read(sys.argv[1])
for expression in sys.argv[2:]:
    try:
        value = eval(expression)
    except Exception as error:  # a missing key is a failed check, too
        value = error
    if not (value is True or value is np.True_ or (isinstance(value, np.ndarray) and value.all())):
        print(f"  {sys.argv[1]}: {expression} gives {value!r}", file=sys.stderr)
        sys.exit(1)
