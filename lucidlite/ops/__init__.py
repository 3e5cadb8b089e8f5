"""Operations: each a plain function with its vjp (reverse rule) right under it."""
