// ck_ring.h, in C++: of version 0.7.1 one function, which nobody calls here, returns false where a
// pointer is meant.
#pragma once

#include <ck_cc.h>
#include <ck_md.h>
#include <ck_pr.h>
#include <ck_stdbool.h>
#include <ck_string.h>

#define false 0
#include <ck_ring.h>
#undef false
