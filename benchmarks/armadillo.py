"""Armadillo's gmm_full and gmm_diag behind two C functions, compiled on first use by the system's C++ compiler.

The headers `armadillo`, LAPACK and BLAS must be where the compiler finds them (CPATH and LIBRARY_PATH are heeded, as
are CXX, and LD_LIBRARY_PATH when the result is loaded). Its Python binding takes no full covariances to start from.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from fastem.bench.peers import Parameters

_SOURCE = """
#include <armadillo>
#include <cstring>

// Rows are columns here: features x rows in column-major order is rows x features in C order.
template <typename Model, typename Covariances>
int learn(Model& model, const arma::mat& X, const arma::mat& means, const Covariances& covariances,
          const arma::rowvec& weights, int n_iter)
{
  model.set_params(means, covariances, weights);
  return model.learn(X, means.n_cols, arma::eucl_dist, arma::keep_existing, 0, n_iter, 0.0, false);
}

template <typename T>
void copy_out(const T& values, double* target)
{
  std::memcpy(target, values.memptr(), values.n_elem * sizeof(double));
}

extern "C" const char* version()
{
  static const std::string text = arma::arma_version::as_string();
  return text.c_str();
}

extern "C" int fit(int full, double* x, long n, long d, long k, int n_iter,
                   double* weights, double* means, double* covariances)
{
  const arma::mat X(x, d, n, false, true);
  const arma::mat first_means(means, d, k);
  const arma::rowvec first_weights(weights, k);
  int succeeded;
  if (full)
  {
    arma::gmm_full model;
    succeeded = learn(model, X, first_means, arma::cube(covariances, d, d, k), first_weights, n_iter);
    copy_out(model.hefts, weights); copy_out(model.means, means); copy_out(model.fcovs, covariances);
  }
  else
  {
    arma::gmm_diag model;
    succeeded = learn(model, X, first_means, arma::mat(covariances, d, k), first_weights, n_iter);
    copy_out(model.hefts, weights); copy_out(model.means, means); copy_out(model.dcovs, covariances);
  }
  return succeeded;
}
"""
_DEFINITIONS = [f"-DARMA_DONT_USE_{name}" for name in ("WRAPPER", "ARPACK", "SUPERLU", "HDF5")] + ["-DARMA_NO_DEBUG"]
_OPTIONS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", *_DEFINITIONS]


@cache
def library() -> ctypes.CDLL:
    """The compiled functions; ImportError if they cannot be compiled or loaded here."""
    with tempfile.TemporaryDirectory() as directory:
        source, result = Path(directory, "fit.cpp"), Path(directory, "fit.so")
        source.write_text(_SOURCE, encoding="utf-8")
        command = [os.environ.get("CXX", "c++"), *_OPTIONS, str(source), "-o", str(result), "-llapack", "-lblas"]
        try:
            subprocess.run(command, check=True, capture_output=True)
            loaded = ctypes.CDLL(str(result))
        except (OSError, subprocess.CalledProcessError) as error:
            raise ImportError("Armadillo's headers, LAPACK or a C++ compiler are missing") from error
    loaded.version.restype = ctypes.c_char_p
    return loaded


def version() -> str:
    return library().version().decode().split(" ")[0]


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def fit(X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit Armadillo's model of full or diagonal covariances for `n_iter` iterations."""
    rows = np.ascontiguousarray(X, dtype=np.float64)
    kind, *arrays = start
    fitted = [np.array(values, dtype=np.float64, order="C") for values in arrays]
    sizes = map(ctypes.c_long, (*rows.shape, len(start.weights)))
    succeeded = library().fit(ctypes.c_int(kind == "full"), _address(rows), *sizes, n_iter, *map(_address, fitted))
    if not succeeded:
        raise RuntimeError("Armadillo reports that EM failed")
    return Parameters(kind, *fitted)
