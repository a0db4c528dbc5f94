/// How often this process has called malloc and its relatives; -1 where they cannot be counted (outside glibc).
long allocation_count(void);
