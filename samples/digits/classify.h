/* Classifies the test digits with the compiled network; needs no C library, so that it runs on bare metal too. */
#ifndef CLASSIFY_H
#define CLASSIFY_H

/* Prints through `put` the first digits as pictures with what the network says (pictures != 0), then one line of
 * predictions for every test digit, and the accuracy.  Returns how many are right, or a negative status. */
int classify_all(void (*put)(const char *text), int pictures);

#endif
